"""`python -m cleartrace_verl.sft [--recipe DIR] [--dry-run] [key=value ...]`: one supervised fine-tuning run.

veRL's SFT trainer in as many processes as the scale has devices, started by torchrun. The same command resumes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO

from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console
from rich.markup import escape

from cleartrace.data.files import whole_file
from cleartrace.data.growing import StoreError
from cleartrace_verl import known_keys
from cleartrace_verl.compose import ConfigError, compose_file
from cleartrace_verl.main import ENVIRONMENT, EXIT_CONFIG, EXIT_INTERRUPTED, parse
from cleartrace_verl.policy_folder import make_portable
from cleartrace_verl.run_files import held
from cleartrace_verl.sft_files import (
    METRICS_PART,
    checkpointed_step,
    merge_metrics,
    problems,
    read_rows,
    total_steps,
)
from code_judge.sandbox.syscalls import die_with_parent

FREE = ("model.override_config", "model.mtp", "data.apply_chat_template_kwargs", "profiler.tool_config")
"""Dictionaries that veRL hands on as they are."""
POLL_S = 1.0
PATIENCE_S = 30.0
"""Seconds an interrupted training gets to stop by itself."""


def compose_sft(overrides: Sequence[str], search: Sequence[Path] = ()) -> DictConfig:
    """Compose and check every key. Raises ConfigError and known_keys.UnknownKey."""
    config, base = compose_file("cleartrace_sft", overrides, search, folder="sft")
    known_keys.check(config, base, free=FREE)
    return config


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 failed while running, 2 unusable configuration or machine, 130 interrupted."""
    args = parse(sys.argv[1:] if argv is None else argv)
    console = Console(soft_wrap=True, highlight=False)
    try:
        config = compose_sft(args.overrides, [args.recipe] if args.recipe else [])
    except (ConfigError, known_keys.UnknownKey) as error:
        console.print(f"[red]Configuration:[/red] {escape(str(error))}")
        return EXIT_CONFIG
    found = problems(config)
    if args.dry_run:
        return _dry_run(config, found, console)
    found += _launch_problems(config)
    for problem in found:
        console.print(f"[red]Cannot start:[/red] {escape(problem)}")
    if found:
        return EXIT_CONFIG
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return run(config, console)
    except StoreError as error:
        console.print(f"[red]Cannot start:[/red] {escape(str(error))}")
        return EXIT_CONFIG
    except KeyboardInterrupt:
        console.print("Interrupted. The training has been stopped; the same command resumes it.")
        return EXIT_INTERRUPTED


def _interrupt(signum: int, frame: object) -> None:
    del signum, frame
    raise KeyboardInterrupt


def _dry_run(config: DictConfig, found: list[str], console: Console) -> int:
    from cleartrace_verl.machine_check import missing_gpus

    data = config.data
    console.print(f"model {config.model.path}, batch {data.train_batch_size}, at most {data.max_length} tokens")
    console.print(f"{total_steps(config) or 'unknown number of'} steps, optimizer lr {config.optim.lr}")
    console.print("The configuration resolves, and veRL or cleartrace reads every key.", style="green")
    for text in (*found, *missing_gpus(config)):
        console.print(f"[yellow]Missing here:[/yellow] {escape(text)}")
    return 0


def _launch_problems(config: DictConfig) -> list[str]:
    lacking = [name for name in ("NODE_RANK", "MASTER_ADDR") if name not in os.environ]
    if config.trainer.nnodes > 1 and lacking:
        nodes = f"trainer.nnodes={config.trainer.nnodes}"
        return [f"{nodes} needs {' and '.join(lacking)} in the environment of each node."]
    return []


def run(config: DictConfig, console: Console) -> int:
    """Train to the end. Raises StoreError beside another run, and KeyboardInterrupt, after stopping the processes."""
    run_dir = Path(config.cleartrace.run_dir).resolve()
    if not _is_first_node(config):  # the first one holds the folder, which the nodes may share
        run_dir.mkdir(parents=True, exist_ok=True)
        return _run(config, run_dir, None, console)
    with held(run_dir) as lock:
        return _run(config, run_dir, lock, console)


def _run(config: DictConfig, run_dir: Path, lock: int | None, console: Console) -> int:
    """`lock` holds the folder; None where another node does."""
    path = _write_config(config, run_dir)
    done, total = checkpointed_step(config), total_steps(config)
    if lock is not None:
        # A killed run may have trained to the end and left this undone.
        merge_metrics(run_dir, kept_until=done)
        _make_portable(run_dir)
    if total is not None and done >= total:
        # veRL's trainer would take one step more.
        console.print(f"All {total} steps are done.")
        _finish(config, run_dir, console)
        return 0
    log = run_dir / "train.log"
    with log.open("ab") as output:
        process = _start(config, path, None if config.cleartrace.verbose else output, lock)
        try:
            status = _watch(process, run_dir, total, console)
        finally:
            _stop(process)
            if lock is not None:
                merge_metrics(run_dir)
                _make_portable(run_dir)
    if status:
        console.print(f"[red]Training failed[/red] with exit status {status}. The full log is {escape(str(log))}.")
        return 1
    _finish(config, run_dir, console)
    return 0


def _make_portable(run_dir: Path) -> None:
    for folder in run_dir.glob("checkpoints/global_step_*/huggingface"):
        make_portable(folder)


def _is_first_node(config: DictConfig) -> bool:
    return config.trainer.nnodes == 1 or os.environ["NODE_RANK"] == "0"


def _write_config(config: DictConfig, run_dir: Path) -> Path:
    with open_dict(config):
        config.cleartrace.run_dir = str(run_dir)
        config.trainer.logger = sorted({*config.trainer.logger, "file"})
    # Our resolver exists in this process only, so the training processes get values, not interpolations.
    OmegaConf.resolve(config)
    path = run_dir / "config.yaml"
    with whole_file(path) as draft:
        draft.write_text(OmegaConf.to_yaml(config))
    return path


def _start(config: DictConfig, path: Path, output: IO[bytes] | None, lock: int | None) -> subprocess.Popen[bytes]:
    """torchrun. It ends with this process, and as long as it takes to do so the folder is held."""
    trainer = config.trainer
    where = ["--standalone"]
    if trainer.nnodes > 1:
        where = [f"--nnodes={trainer.nnodes}", f"--node-rank={os.environ['NODE_RANK']}"]
        where += [f"--master-addr={os.environ['MASTER_ADDR']}", f"--master-port={os.environ.get('MASTER_PORT', 29500)}"]
    command = [sys.executable, "-m", "torch.distributed.run", *where, f"--nproc-per-node={trainer.n_gpus_per_node}"]
    environment = {**ENVIRONMENT, **os.environ, "VERL_FILE_LOGGER_PATH": str(path.parent / METRICS_PART)}
    if trainer.device == "cpu":
        # Nothing else computes, so the processes share the cores.
        environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // trainer.n_gpus_per_node))
    return subprocess.Popen(
        [*command, "-m", "cleartrace_verl.sft_worker", str(path)],
        env=environment,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        start_new_session=True,
        pass_fds=[] if lock is None else [lock],
        preexec_fn=partial(die_with_parent, signal.SIGTERM),
    )


def _watch(process: subprocess.Popen[bytes], run_dir: Path, total: int | None, console: Console) -> int:
    """Say each new step until the process ends; its exit status."""
    started, shown = time.monotonic(), 0
    while True:
        status = process.poll()
        rows = read_rows(run_dir / METRICS_PART)
        for row in rows[shown:]:
            seconds = int(time.monotonic() - started)
            clock = f"{seconds // 60:3d}:{seconds % 60:02d}"
            console.print(f"{clock}  step {row['step']}/{total or '?'}  {_loss_text(row['data'])}")
        shown = len(rows)
        if status is not None:
            return status
        time.sleep(POLL_S)


def _loss_text(data: dict[str, float]) -> str:
    return f"held-out loss {data['val/loss']:.4f}" if "val/loss" in data else f"loss {data['train/loss']:.4f}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End torchrun, which ends its workers."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _finish(config: DictConfig, run_dir: Path, console: Console) -> None:
    step = checkpointed_step(config)
    policy = run_dir / f"checkpoints/global_step_{step}/huggingface"
    console.print(f"Metrics: {run_dir / 'metrics.jsonl'}")
    if policy.is_dir():
        console.print(f"Policy after step {step}: {policy} (for RL: actor_rollout_ref.model.path)")


if __name__ == "__main__":
    sys.exit(main())
