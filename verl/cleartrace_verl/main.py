"""`python -m cleartrace_verl.main [--recipe DIR] [--dry-run] [key=value ...]`: one training run, start to report."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

# Before torch is imported anywhere: one thread per process (two collapse beside any other load), no hub, no telemetry.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    # Ray gives its workers the lowest priority, so that any other program on a laptop stops the training.
    "RAY_worker_niceness": "0",
}
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

from omegaconf import DictConfig, OmegaConf, open_dict  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.markup import escape  # noqa: E402

from cleartrace.data.files import whole_file  # noqa: E402
from cleartrace.data.growing import StoreError  # noqa: E402
from cleartrace_verl.compose import ConfigError, compose  # noqa: E402
from cleartrace_verl.known_keys import UnknownKey  # noqa: E402
from cleartrace_verl.preflight import problems  # noqa: E402
from cleartrace_verl.progress import Progress  # noqa: E402
from cleartrace_verl.run_files import held  # noqa: E402

EXIT_CONFIG = 2
EXIT_INTERRUPTED = 130


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cleartrace train", description=__doc__)
    parser.add_argument("--recipe", type=Path, help="folder with an experiment/ group of Hydra files")
    parser.add_argument("--dry-run", action="store_true", help="resolve and check the configuration, start nothing")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides; unknown keys are refused")
    args = parser.parse_intermixed_args(argv)
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 failed while running, 2 unusable configuration or machine, 130 interrupted."""
    args = parse(sys.argv[1:] if argv is None else argv)
    # Its own descriptor: `_output_to` points 1 and 2 at the log while the cluster runs.
    console = Console(file=os.fdopen(os.dup(1), "w", buffering=1), force_terminal=sys.stdout.isatty() or None)
    try:
        config = compose(args.overrides, [args.recipe] if args.recipe else [])
    except (ConfigError, UnknownKey) as error:
        console.print(f"[red]Configuration:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        return EXIT_CONFIG
    found = problems(config)
    if args.dry_run:
        return _dry_run(config, found, console)
    if found:
        for problem in found:
            console.print(f"[red]Cannot start:[/red] {escape(problem)}", highlight=False, soft_wrap=True)
        return EXIT_CONFIG
    # Both by name: a shell starts background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return run(config, console)
    except StoreError as error:
        console.print(f"[red]Cannot start:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        return EXIT_CONFIG
    except KeyboardInterrupt:
        message = "Interrupted. Everything this run started has been stopped; the same command resumes it."
        console.print(message, soft_wrap=True)
        return EXIT_INTERRUPTED


def _interrupt(signum: int, frame: object) -> None:
    del signum, frame
    raise KeyboardInterrupt


def _dry_run(config: DictConfig, found: list[str], console: Console) -> int:
    from cleartrace_verl.machine_check import missing_for

    console.print(OmegaConf.to_yaml(config.cleartrace), highlight=False)
    rollout = config.actor_rollout_ref.rollout
    console.print(f"model {config.actor_rollout_ref.model.path}, rollout {rollout.name}, n {rollout.n}")
    console.print(f"SAAR {OmegaConf.to_container(rollout.custom.saar)}")
    console.print("The configuration resolves, and veRL or cleartrace reads every key.", style="green")
    for text in (*found, *missing_for(config)):
        console.print(f"[yellow]Missing here:[/yellow] {escape(text)}", highlight=False, soft_wrap=True)
    return 0


def run(config: DictConfig, console: Console) -> int:
    """Train. Raises KeyboardInterrupt through, after stopping what was started; StoreError beside another run."""
    run_dir = Path(config.cleartrace.run_dir).resolve()
    with held(run_dir):  # Ray's processes end with this one
        return _run(config, run_dir, console)


def _run(config: DictConfig, run_dir: Path, console: Console) -> int:
    _prepare(config, run_dir)
    started = time.monotonic()
    failure: BaseException | None = None
    progress = Progress(run_dir, console, config.cleartrace.token_budget)
    with _judge(config, run_dir), progress, _output_to(run_dir / "train.log", config):
        try:
            _train(config)
        except Exception as error:  # anything in the cluster; the log has the whole story
            failure = error
    if failure is not None:
        console.print(f"[red]Training failed:[/red] {escape(_last_line(failure))}", highlight=False, soft_wrap=True)
        console.print(f"The full log is {run_dir / 'train.log'}.")
        return 1
    _finish(run_dir, console, time.monotonic() - started)
    return 0


def _prepare(config: DictConfig, run_dir: Path) -> None:
    tasks = config.cleartrace.tasks
    with open_dict(config):
        config.cleartrace.run_dir = str(run_dir)
        config.trainer.default_local_dir = str(run_dir / "checkpoints")
        if tasks.train:
            from cleartrace_verl.task_files import write

            files = write(run_dir / "data", tasks, seed=config.cleartrace.seed)
            config.data.train_files, config.data.val_files = [str(p) for p in files]
        if (run_dir / "checkpoints" / "latest_checkpointed_iteration.txt").exists():
            config.trainer.val_before_train = False  # the first part of the run has done it
    # Our resolver exists in this process only, so the cluster gets values, not interpolations.
    OmegaConf.resolve(config)
    text = OmegaConf.to_yaml(config)
    with whole_file(run_dir / "config.yaml") as draft:
        draft.write_text(text)


@contextlib.contextmanager
def _judge(config: DictConfig, run_dir: Path) -> Iterator[None]:
    from cleartrace_verl.judge_env import JUDGE_TOKEN_VARIABLE, JUDGE_URL_VARIABLE

    if config.cleartrace.judge.url:
        os.environ[JUDGE_URL_VARIABLE] = config.cleartrace.judge.url
        yield
        return
    from code_judge.embedded import EmbeddedJudge

    os.environ.setdefault("MAX_EXECUTION_TIME", str(config.cleartrace.judge.time_limit_s))
    with EmbeddedJudge(workers=config.cleartrace.judge.workers, log_dir=run_dir / "judge") as judge:
        os.environ[JUDGE_URL_VARIABLE] = judge.url
        if judge.token:
            os.environ[JUDGE_TOKEN_VARIABLE] = judge.token
        yield


@contextlib.contextmanager
def _output_to(path: Path, config: DictConfig) -> Iterator[None]:
    """Send what veRL and Ray print to `path`, at the level of file descriptors, because Ray's are C++."""
    if config.cleartrace.verbose:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for target, descriptor in zip((1, 2), saved, strict=True):
                os.dup2(descriptor, target)
                os.close(descriptor)


def _train(config: DictConfig) -> None:
    import ray
    from verl.trainer.main_ppo import run_ppo
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config
    from verl.utils.device import auto_set_device

    from cleartrace_verl.platform_cpu import choose_cpu
    from cleartrace_verl.runner import CleartraceRunner

    if config.trainer.device == "cpu":
        choose_cpu()
    auto_set_device(config)
    validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
    try:
        run_ppo(config, task_runner_class=CleartraceRunner)
    finally:
        ray.shutdown()


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def _finish(run_dir: Path, console: Console, seconds: float) -> None:
    from cleartrace.report import build_report
    from cleartrace_verl.closing_table import closing_table

    report = build_report(run_dir)
    console.print(closing_table(run_dir, seconds))
    console.print(f"Report: {report}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
