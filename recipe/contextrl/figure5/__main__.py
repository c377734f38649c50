"""`python -m recipe.contextrl.figure5`: make the data, run what is missing, print the table and draw the figure."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from recipe.contextrl.figure5 import data
from recipe.contextrl.figure5.arms import ARMS, BY_NAME, DATA
from recipe.contextrl.figure5.runs import RUNS, Figure5Job
from recipe.contextrl.figure5.tables import differences, picture, table
from recipe.runner import Runner

PICTURE = Path("docs/assets/figure5.svg")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="recipe/contextrl/figure5.sh", description=__doc__)
    parser.add_argument("--arms", nargs="+", choices=list(BY_NAME), default=list(BY_NAME), metavar="ARM")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--steps", type=int, default=40, help="optimizer steps of GRPO, and of fine-tuning before it")
    parser.add_argument("--tables", action="store_true", help="run nothing, show what is there")
    return parser.parse_args()


def main() -> int:
    args = parse()
    arms = [arm for arm in ARMS if arm.name in args.arms]
    jobs = [Figure5Job(arm, seed, args.steps) for seed in range(args.seeds) for arm in arms]
    if not args.tables:
        data.write(Path(DATA))
        runner = Runner(args.jobs)
        runner.stop_on_signals()
        for outcome in runner.run_all(jobs):
            print(outcome, flush=True)
    done = [job.csv for job in jobs if job.csv.exists()]
    if done:
        rows = read(done)
        print(table(rows), differences(rows), sep="\n\n")
        print(f"\nFigure: {picture(rows, RUNS / 'runs.csv', PICTURE)}")
    print(f"{len(done)} of {len(jobs)} runs are finished.")
    return 0 if len(done) == len(jobs) else 1


def read(files: Sequence[Path]) -> list[dict[str, str]]:
    """The one row of each run."""
    rows = []
    for path in files:
        with path.open(newline="") as file:
            rows += csv.DictReader(file)
    return rows


if __name__ == "__main__":
    sys.exit(main())
