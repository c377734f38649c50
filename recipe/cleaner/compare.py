"""GRPO against CLEANER on the quickstart tasks: same policy, same budget of generated tokens, several seeds.

Each run leaves one small CSV; the tables and the curves are made from the CSVs alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cleartrace.evaluate.stats import mean_interval
from cleartrace.report.compare import COLUMNS, build_comparison

RESULTS = Path("docs/results/cleaner")
PAGE = Path("runs/compare/compare.html")
CURVES = Path("docs/assets")
ARMS = {"grpo": "false", "cleaner": "true"}
# metric in metrics.jsonl -> (split, name) in the CSV
EXPORTED = {
    "cleartrace/val/acc": ("held_out", "acc"),
    "cleartrace/val_on/acc": ("held_out_with_rollback", "acc"),
    "cleartrace/val/first_call_failure_rate": ("held_out", "first_call_failure_rate"),
    "cleartrace/val/tokens_per_trajectory": ("held_out", "tokens_per_trajectory"),
    "cleartrace/val_on/tokens_per_trajectory": ("held_out_with_rollback", "tokens_per_trajectory"),
    "cleartrace/train/acc": ("train", "acc"),
    "tool_calls/failures_per_trajectory": ("train", "failures_per_trajectory"),
    "rollback/discard_ratio": ("train", "discard_ratio"),
    "timing_s/step": ("train", "step_seconds"),
}
RUNNING: list[subprocess.Popen[bytes]] = []
STOPPING = threading.Event()
TABLE = (("held_out", "acc"), ("held_out_with_rollback", "acc"), ("held_out", "first_call_failure_rate"))


@dataclass(frozen=True)
class Job:
    arm: str
    seed: int
    tokens: int

    @property
    def name(self) -> str:
        return f"{self.arm}-seed{self.seed}"

    @property
    def csv(self) -> Path:
        return RESULTS / f"{self.name}.csv"

    @property
    def run_dir(self) -> Path:
        return Path("runs/compare") / self.name


def command(job: Job) -> list[str]:
    """The training run of one job: the quickstart with another arm, seed and end."""
    return [
        sys.executable,
        *("-m", "cleartrace_verl.main", "--recipe", "recipe/cleaner", "experiment=quickstart"),
        f"trainer.experiment_name={job.name}",
        f"cleartrace.run_dir={job.run_dir}",
        f"cleartrace.seed={job.seed}",
        f"cleartrace.token_budget={job.tokens}",
        "cleartrace.tasks.held_out_with_rollback=true",
        "trainer.total_training_steps=1000",
        "trainer.test_freq=6",
        f"actor_rollout_ref.rollout.multi_turn.enable_tool_rollback={ARMS[job.arm]}",
    ]


def run(job: Job) -> str:
    """Train one job unless its CSV exists; the outcome in a line."""
    if STOPPING.is_set():
        return f"{job.name}: not started"
    if job.csv.exists():
        return f"{job.name}: there already"
    job.run_dir.mkdir(parents=True, exist_ok=True)
    with (job.run_dir / "console.log").open("a") as log:
        process = subprocess.Popen(command(job), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        RUNNING.append(process)
        status = process.wait()
    if status != 0:
        return f"{job.name}: failed with exit status {status}; see {job.run_dir}/console.log, then run this again"
    export(job)
    return f"{job.name}: done"


def export(job: Job) -> None:
    """Write the job's CSV from its metrics, whole or not at all."""
    rows = []
    for line in (job.run_dir / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        data = record["data"]
        for metric, (split, name) in EXPORTED.items():
            if metric in data:
                tokens = data["cleartrace/generated_tokens_cum"]
                rows.append([job.name, job.arm, job.seed, record["step"], tokens, split, name, round(data[metric], 6)])
    job.csv.parent.mkdir(parents=True, exist_ok=True)
    draft = job.csv.with_suffix(".tmp")
    with draft.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    draft.replace(job.csv)


def ends(job: Job, split: str, metric: str) -> tuple[float, float]:
    """First and last value of a metric: before training, and when the budget was used up."""
    with job.csv.open() as file:
        rows = [r for r in csv.DictReader(file) if r["split"] == split and r["metric"] == metric]
    rows.sort(key=lambda r: int(r["step"]))
    return float(rows[0]["value"]), float(rows[-1]["value"])


def table(jobs: Sequence[Job]) -> str:
    """Markdown: mean over seeds with a Student 95 % interval, before and after, and the paired difference."""
    lines = ["| held-out | arm | seeds | before | after | rise |", "|---|---|---|---|---|---|"]
    for split, metric in TABLE:
        after: dict[str, dict[int, float]] = {}
        for arm in ARMS:
            mine = [job for job in jobs if job.arm == arm and job.csv.exists()]
            if not mine:
                continue
            pairs = [ends(job, split, metric) for job in mine]
            after[arm] = {job.seed: pair[1] for job, pair in zip(mine, pairs, strict=True)}
            cells = [[p[0] for p in pairs], [p[1] for p in pairs], [p[1] - p[0] for p in pairs]]
            lines.append(f"| {split} {metric} | {arm} | {len(mine)} | " + " | ".join(map(_interval, cells)) + " |")
        shared = sorted(set(after.get("grpo", {})) & set(after.get("cleaner", {})))
        if shared:
            gaps = [after["cleaner"][seed] - after["grpo"][seed] for seed in shared]
            lines.append(f"| {split} {metric} | cleaner - grpo | {len(shared)} | | {_interval(gaps)} | |")
    return "\n".join(lines)


def _interval(values: Sequence[float]) -> str:
    mean, low, high = mean_interval(values)
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _stop(number: int, frame: object) -> None:
    """End the runs that are under way, each of which stops what it started, and leave; they resume later."""
    del frame
    STOPPING.set()
    for process in RUNNING:
        if process.poll() is None:
            process.terminate()
    for process in RUNNING:
        process.wait()
    os._exit(128 + number)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time; two suit two cores")
    parser.add_argument("--tokens", type=int, default=60_000, help="generated tokens per run, discarded ones included")
    args = parser.parse_args()
    jobs = [Job(arm, seed, args.tokens) for seed in range(args.seeds) for arm in ARMS]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    with ThreadPoolExecutor(args.jobs) as pool:
        for outcome in pool.map(run, jobs):
            print(outcome, flush=True)
    finished = [job for job in jobs if job.csv.exists()]
    if finished:
        print(table(finished))
        print(f"Curves: {build_comparison([job.csv for job in finished], PAGE, CURVES)} and {CURVES}/*.svg")
    return 0 if len(finished) == len(jobs) else 1


if __name__ == "__main__":
    sys.exit(main())
