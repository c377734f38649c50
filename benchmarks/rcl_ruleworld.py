"""RCL in the rule world, without a model: learning curves, acceptance and credit over many seeds.

Run: `python -m benchmarks.rcl_ruleworld --jobs 2`. It resumes run by run; `--tables` runs nothing.
Rows go to docs/results/rcl/, the picture to docs/assets/, the tables to the terminal.
"""

from __future__ import annotations

import argparse
import sys
import time

from recipe.rcl.study.arms import BY_NAME
from recipe.rcl.study.runs import missing, run_all, tidy
from recipe.rcl.study.tables import draw, tables

PARTS = ("acceptance", "credit")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rcl_ruleworld", description=__doc__)
    parser.add_argument("--arms", nargs="+", choices=[*BY_NAME, *PARTS], default=[*BY_NAME, *PARTS], metavar="ARM")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1, help="processes; two suit two cores")
    parser.add_argument("--tables", action="store_true", help="run nothing, make tables and picture of what is there")
    return parser.parse_args()


def main() -> int:
    args = parse()
    files = [name if name in PARTS else f"arm-{name}" for name in args.arms]
    if not args.tables:
        for file in files:
            tidy(file)
        works, start = missing(files, args.seeds), time.perf_counter()
        for n, work in enumerate(run_all(works, args.jobs), 1):
            if n % 100 == 0 or n == len(works):
                print(f"{n} of {len(works)} ({work.file}), {time.perf_counter() - start:.0f} s", flush=True)
        for file in files:
            tidy(file)
    print(tables(), draw(), sep="\n\n")
    left = len(missing(files, args.seeds))
    print(f"{left} runs are missing." if left else "All runs are finished.")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
