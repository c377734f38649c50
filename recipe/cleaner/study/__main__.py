"""`python -m recipe.cleaner.study`: run what is missing, then print the tables and draw the curves."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cleartrace.report.compare import build_comparison
from recipe.cleaner.study.arms import ARMS, BY_NAME, Group
from recipe.cleaner.study.runs import Job
from recipe.cleaner.study.tables import difference_table, end_table
from recipe.runner import Runner

PAGE = Path("runs/study/study.html")
CURVES = Path("docs/assets")
DRAWN = {
    ("held_out", "acc"),
    ("held_out_with_rollback", "acc"),
    ("held_out", "first_call_failure_rate"),
    ("held_out", "failures_per_trajectory"),
    ("train", "failures_per_trajectory"),
    ("train", "gap_mean"),
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="recipe/cleaner/study.sh", description=__doc__)
    parser.add_argument("--arms", nargs="+", choices=list(BY_NAME), default=list(BY_NAME), metavar="ARM")
    parser.add_argument("--seeds", type=int, help="default: 5 for the main arms, 3 for the others")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time; two suit two cores")
    parser.add_argument("--tokens", type=int, default=60_000, help="generated tokens per run, discarded ones included")
    parser.add_argument("--tables", action="store_true", help="run nothing, make the tables of what is there")
    return parser.parse_args()


def main() -> int:
    args = parse()
    arms = [arm for arm in ARMS if arm.name in args.arms]
    most = max(args.seeds or arm.group.seeds for arm in arms)
    # Seed by seed, so that a study that is broken off has every arm at equally many seeds.
    jobs = [Job(a, seed, args.tokens) for seed in range(most) for a in arms if seed < (args.seeds or a.group.seeds)]
    if not args.tables:
        runner = Runner(args.jobs)
        runner.stop_on_signals()
        for outcome in runner.run_all(jobs):
            print(outcome, flush=True)
    done = [job for job in jobs if job.csv.exists()]
    if done:
        print(end_table(jobs), difference_table(jobs), sep="\n\n")
        main_arms = [job.csv for job in done if job.arm.group is Group.MAIN]
        if main_arms:
            print(f"\nCurves of the main arms: {build_comparison(main_arms, PAGE, CURVES, DRAWN)} and {CURVES}/*.svg")
    print(f"{len(done)} of {len(jobs)} runs are finished.")
    return 0 if len(done) == len(jobs) else 1


if __name__ == "__main__":
    sys.exit(main())
