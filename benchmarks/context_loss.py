"""What the context-awareness pass costs, in time and in peak memory.

    python benchmarks/context_loss.py                                   # the shipped policy, 1.5 M parameters
    python benchmarks/context_loss.py --model runs/models/smollm2-135m-instruct --rounds 5

`pass`: the pass of an optimizer step on pairs. `bare`: one forward and backward of the same packed tokens by the
model alone, with logits of the answer rows only, which is the least that any implementation computes. `engine`: the
same tokens through veRL's engine as policy rows, with log-probs of all of them. `step` and `step0`: a whole optimizer
step with and without pairs. Rounds alternate, so that a busy machine slows all of them; ratios are of paired rounds.
Memory is the growth of the process's peak, each case in a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("verl", "code-judge", ".")]
for name, value in (("OMP_NUM_THREADS", "1"), ("OMP_WAIT_POLICY", "PASSIVE"), ("HF_HUB_OFFLINE", "1")):
    os.environ.setdefault(name, value)

POLICY = ROOT / "dataset/quickstart/policy"
CASES = ("pass", "bare", "engine", "step", "step0")
RATIOS = (("pass", "bare"), ("pass", "engine"), ("step", "step0"))
FILLER = "and then it goes on for a while in the same way "


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=POLICY)
    parser.add_argument("--pairs", type=int, default=8, help="pairs per optimizer step")
    parser.add_argument("--words", type=int, default=60, help="filler words in each context")
    parser.add_argument("--rollouts", type=int, default=16, help="policy rows of an optimizer step")
    parser.add_argument("--response", type=int, default=96, help="tokens of a response")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--csv", type=Path, help="write the rows here too")
    parser.add_argument("--memory-of", choices=CASES, help=argparse.SUPPRESS)
    return parser.parse_args()


def write_pairs_file(folder: Path, args: argparse.Namespace) -> Path:
    from cleartrace.pairs.files import write_pairs
    from cleartrace.pairs.record import PairKind, both_directions

    filler = (FILLER * args.words).split()[: args.words]
    pairs = []
    for group in range(args.pairs):
        contexts = (f"x is two {' '.join(filler)}", f"x is three {' '.join(filler)}")
        pairs += both_directions(
            id=f"p{group}",
            kind=PairKind.TEXT,
            question="What is x?",
            answers=("two", "three"),
            contexts=contexts,
            group=f"g{group}",
            source="benchmark",
        )
    path = folder / "pairs.jsonl"
    write_pairs(path, pairs)
    return path


def configuration(args: argparse.Namespace, pairs: Path) -> Any:
    from omegaconf import OmegaConf

    from cleartrace_verl.compose import compose

    model = "actor_rollout_ref"
    lengths = [f"{model}.actor.ppo_max_token_len_per_gpu=4096", f"{model}.rollout.log_prob_max_token_len_per_gpu=4096"]
    config = compose(
        [
            *("experiment=smoke", f"{model}.model.path={args.model}", f"{model}.model.use_fused_kernels=false"),
            *(f"{model}.actor.use_dynamic_bsz=true", f"{model}.rollout.log_prob_use_dynamic_bsz=true", *lengths),
            *(f"{model}.context_rl.enable=true", f"{model}.context_rl.train_files=[{pairs}]"),
            f"{model}.context_rl.batch_size={args.pairs}",
        ],
        [ROOT / "recipe/cleaner"],
    )
    OmegaConf.resolve(config)
    return config


def cases(args: argparse.Namespace, pairs: Path, wanted: tuple[str, ...]) -> dict[str, Callable[[], None]]:
    """Each case as a call that does the work once."""
    from cleartrace_verl.context.worker import ContextActorRolloutRefWorker, Score
    from cleartrace_verl.one_process import actor_of, open_group, random_rows, update
    from cleartrace_verl.workers import CpuActorRolloutRefWorker

    open_group()
    config = configuration(args, pairs)
    actor = actor_of(config, ContextActorRolloutRefWorker)
    vocabulary = actor.model_config.hf_config.vocab_size
    rollouts = random_rows(args.rollouts, prompt=16, response=args.response, vocabulary=vocabulary)
    found: dict[str, Callable[[], None]] = {
        "pass": lambda: in_update(actor, lambda: actor._context.run(0)),
        "bare": lambda: in_update(actor, lambda: bare(actor)),
        "engine": lambda: in_update(actor, lambda: as_policy_rows(actor)),
        "step": lambda: drop(update(actor, rollouts, args.rollouts, context_step=0, context_score=Score.NEVER.value)),
    }
    if "step0" in wanted:
        plain = actor_of(config, CpuActorRolloutRefWorker)
        found["step0"] = lambda: drop(update(plain, rollouts, args.rollouts))
    return {name: found[name] for name in wanted}


def drop(value: object) -> None:
    del value


def in_update(actor: Any, work: Callable[[], None]) -> None:
    with actor.engine.train_mode(disable_auto_offload=True):
        actor.engine.optimizer_zero_grad()
        work()


def bare(actor: Any) -> None:
    batch = actor._context._source.batch(0)
    offsets = batch["input_ids"].offsets()
    output = actor.engine.module(
        input_ids=batch["input_ids"].values()[None],
        position_ids=batch["position_ids"].values()[None],
        attention_mask=None,
        use_cache=False,
        logits_to_keep=offsets[1:] - 1,
    )
    logits = output.logits[0].float()
    margin = logits.gather(1, batch["first_ids"]) - logits.gather(1, batch["second_ids"])
    margin.sigmoid().log().mean().neg().backward()


def as_policy_rows(actor: Any) -> None:
    from cleartrace_verl.one_process import policy_pass, policy_rows

    rows = list(actor._context._source.batch(0)["input_ids"].unbind())
    policy_pass(actor, policy_rows([row[:1] for row in rows], [row[1:] for row in rows], [1.0] * len(rows)))


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_of(args: argparse.Namespace, pairs: Path) -> float:
    """MiB by which one run of a case raises the peak of a process that has built the worker."""
    work = cases(args, pairs, (args.memory_of,))[args.memory_of]
    before = peak_mib()
    work()
    return peak_mib() - before


def memory_in_a_process_of_its_own(args: argparse.Namespace, case: str) -> float:
    names = ("model", "pairs", "words", "rollouts", "response")
    options = [word for name in names for word in (f"--{name}", str(getattr(args, name)))]
    command = [sys.executable, __file__, *options, "--memory-of", case]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    args = parse()
    with tempfile.TemporaryDirectory() as folder:
        pairs = write_pairs_file(Path(folder), args)
        if args.memory_of:
            print(memory_of(args, pairs))
            return
        memory = {case: memory_in_a_process_of_its_own(args, case) for case in CASES}
        work = cases(args, pairs, CASES)
        seconds: dict[str, list[float]] = {case: [] for case in CASES}
        for case in CASES:
            work[case]()
        for number in range(args.rounds):
            print(f"\rround {number + 1} of {args.rounds}", end="", file=sys.stderr, flush=True)
            for case in CASES:
                started = time.perf_counter()
                work[case]()
                seconds[case].append(time.perf_counter() - started)
        print(file=sys.stderr)
    report(args, seconds, memory)


def report(args: argparse.Namespace, seconds: dict[str, list[float]], memory: dict[str, float]) -> None:
    rows = [
        {"case": case, "seconds": round(median(seconds[case]), 4), "peak_mib": round(memory[case], 1)} for case in CASES
    ]
    for row in rows:
        print(row)
    for a, b in RATIOS:
        paired = median(x / y for x, y in zip(seconds[a], seconds[b], strict=True))
        print(f"{a} / {b}: time {paired:.3f} (median of paired rounds), memory {memory[a] / max(memory[b], 0.1):.3f}")
    if args.csv:
        args.csv.parent.mkdir(parents=True, exist_ok=True)
        with args.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
