"""What purification costs over a plain tool loop, by component.

    python benchmarks/purify.py                 # 60 generated tasks x 4 rollouts x two arms, the shipped policy
    python benchmarks/purify.py --parts         # the parts alone, on long made-up turns

Both arms of a rollout begin with the same tokens (`cleartrace eval` seeds request by request), engine, judge and loop
are the real ones, and seconds are those the rollout waited. Shares are of the arm's own time, so a busy machine
changes them less than the seconds.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("verl", "code-judge", ".")]

from cleartrace.purify import SaarConfig  # noqa: E402
from cleartrace.purify.similarity import similarity  # noqa: E402
from cleartrace.purify.turn import sampled_turn  # noqa: E402
from cleartrace.trajectory.audit import EngineRequest, audit  # noqa: E402
from cleartrace.trajectory.flatten import flatten  # noqa: E402
from cleartrace.trajectory.segment import Segment, SegmentKind, context_segment  # noqa: E402

POLICY = ROOT / "dataset/quickstart/policy"
SECONDS = ("generate_s", "retry_generate_s", "tool_s", "retry_tool_s", "score_s", "decide_s")
COUNTS = ("first_attempt_total", "retry_calls", "retry_tokens", "scored_tokens")


def roll_out(tasks: int, n: int, overrides: Sequence[str]) -> list[dict]:
    """Records of all rollouts, both arms."""
    from rich.console import Console

    from cleartrace.data.rows import task_row, write_rows
    from cleartrace.data.tasks import Split
    from cleartrace.data.tasks.pool import generate_tasks
    from cleartrace.evaluate.settings import EvalSettings, PolicySettings
    from cleartrace_verl.offline.commands import run_eval
    from cleartrace_verl.task_files import HELD_OUT_SEED

    folder = Path(tempfile.mkdtemp(prefix="purify-"))
    rows = [task_row(task, i) for i, task in enumerate(generate_tasks(tasks, HELD_OUT_SEED, Split.HELD_OUT))]
    try:
        settings = EvalSettings(
            data=(write_rows(rows, folder / "tasks.parquet"),),
            out=folder / "out",
            policy=PolicySettings(model=POLICY),
            n=n,
            recipe=ROOT / "recipe/cleaner",
            overrides=("experiment=quickstart", *overrides),
        )
        run_eval(settings, Console(stderr=True))
        return [json.loads(line) for line in (folder / "out/trajectories.jsonl").read_text().splitlines()]
    finally:
        shutil.rmtree(folder)


def arm_row(arm: str, records: Sequence[dict]) -> dict[str, float | str]:
    """Means per rollout of one arm, and the shares of its own time."""
    counters = [r["counters"] for r in records]
    row: dict[str, float | str] = {"arm": arm, "rollouts": len(records)}
    row |= {name: round(fmean(c[name] for c in counters), 5) for name in (*SECONDS, *COUNTS)}
    row["generated_tokens"] = round(fmean(r["generated_tokens"] for r in records), 2)
    whole = sum(c["generate_s"] + c["tool_s"] + c["score_s"] + c["decide_s"] for c in counters)
    row["decide_share"] = round(sum(c["decide_s"] for c in counters) / whole, 5)
    row["retry_share"] = round(
        sum(c["retry_generate_s"] + c["retry_tool_s"] + c["score_s"] for c in counters) / whole, 5
    )
    row["seconds"] = round(whole / len(records), 5)
    return row


def milliseconds(work: Callable[[], object], repeats: int = 9) -> float:
    """Median wall milliseconds of one call."""
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - started))
    return median(taken)


def long_trajectory(turns: int, tokens: int) -> tuple[list[Segment], list[EngineRequest]]:
    """`turns` call turns of `tokens` tokens with tool output of a fifth of that."""
    rng = random.Random(0)
    segments = [context_segment(SegmentKind.PROMPT, range(500))]
    requests, context = [], list(range(500))
    for position in range(turns):
        ids = tuple(rng.randrange(150_000) for _ in range(tokens))
        logprobs = (-0.5,) * tokens
        turn = sampled_turn(context, ids, logprobs, tokens // 2, position=position)
        requests.append(EngineRequest(tuple(context), ids, logprobs))
        output = context_segment(SegmentKind.TOOL, range(tokens // 5))
        segments += [*turn.segments, output]
        context += [*ids, *output.token_ids]
    return segments, requests


def parts() -> list[tuple[str, float]]:
    """Milliseconds of the pieces a rollback adds, at sizes a 20k-token response has."""
    from transformers import AutoTokenizer

    from cleartrace_verl.tool_parsers import call_parser

    rng = random.Random(0)
    tokenizer = AutoTokenizer.from_pretrained(POLICY)
    config = SaarConfig()
    segments, requests = long_trajectory(turns=16, tokens=1000)
    code = ["".join(rng.choice("abcxyz =+(\n") for _ in range(size)) for size in (2000, 2000, 50_000, 50_000)]
    call = '<tool_call>\n{"name": "code_interpreter", "arguments": {"code": "print(1)"}}\n</tool_call>'
    text = " ".join(rng.choice(("so", "then", "we", "add")) for _ in range(8000))
    ids = tokenizer.encode(text, add_special_tokens=False)[:8000] + tokenizer.encode(call, add_special_tokens=False)
    parser = call_parser(tokenizer, "hermes", {})

    def alike(a: str, b: str) -> object:
        return similarity(a, b, threshold=config.similarity_threshold, autojunk=False, symmetric=True)

    return [
        (f"find and read the call of a turn of {len(ids)} tokens", milliseconds(lambda: parser.read(ids))),
        ("similarity of two programs of 2,000 characters", milliseconds(lambda: alike(code[0], code[1]))),
        ("similarity of two programs of 50,000 characters", milliseconds(lambda: alike(code[2], code[3]))),
        ("flatten 16 turns of 1,000 tokens", milliseconds(lambda: flatten(segments))),
        ("audit 16 turns of 1,000 tokens", milliseconds(lambda: audit(requests, segments))),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--parts", action="store_true", help="only the parts")
    parser.add_argument("--csv", type=Path, help="write the rows of the arms here")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, e.g. a splice policy")
    args = parser.parse_args()
    print(f"$ python {shlex.join(sys.argv)}")
    for name, took in parts():
        print(f"{name:60s} {took:9.2f} ms")
    if args.parts:
        return
    records = roll_out(args.tasks, args.n, args.overrides)
    rows = [arm_row(arm, [r for r in records if r["arm"] == arm]) for arm in ("off", "on")]
    for key in rows[0]:
        print(f"{key:24s}" + "".join(f"{row[key]!s:>14s}" for row in rows))
    print(f"time per rollout, on / off: {float(rows[1]['seconds']) / float(rows[0]['seconds']):.3f}")
    if args.csv:
        args.csv.parent.mkdir(parents=True, exist_ok=True)
        with args.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
