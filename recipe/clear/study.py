"""`python -m recipe.clear.study [--seeds N] [--charged] [--tables]`: the miniature over several seeds, and its tables.

Each seed has a world of its own. A seed that has its CSV is not run again; the same command resumes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cleartrace.data.files import whole_file
from recipe.clear.results import path_of, read_rows
from recipe.clear.settings import Seed
from recipe.clear.tables import arms_table, pairs_table, solved_table
from recipe.runner import Runner

RESULTS = Path("docs/results/clear")
SCRIPT = "recipe/clear/ruleworld.sh"


@dataclass(frozen=True)
class PipelineJob:
    """One seed of the pipeline."""

    seed: Seed

    @property
    def name(self) -> str:
        return f"ruleworld-{self.seed.name}"

    @property
    def csv(self) -> Path:
        return RESULTS / f"{self.name}.csv"

    @property
    def run_dir(self) -> Path:
        return self.seed.folder

    def commands(self) -> list[list[str]]:
        seed = self.seed
        command = ["bash", SCRIPT, "--seed", str(seed.number), "--grpo-steps", str(seed.grpo_steps)]
        return [[*command, "--charged"] if seed.charged else command]

    def export(self) -> None:
        """Copy the runs and the times, and drop the weights."""
        for source, target in (("seconds", self.csv.with_suffix(".seconds.csv")), ("runs", self.csv)):
            with whole_file(target) as draft:
                shutil.copyfile(path_of(self.seed, source), draft)
        for folder in self.seed.folder.glob("*/checkpoints"):
            shutil.rmtree(folder)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m recipe.clear.study", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--grpo-steps", type=int, default=Seed(0).grpo_steps)
    parser.add_argument("--charged", action="store_true", help="the study in which guidance costs its tokens")
    parser.add_argument("--tables", action="store_true", help="run nothing, show what is there")
    args = parser.parse_args(argv)
    jobs = [PipelineJob(Seed(number, args.grpo_steps, args.charged)) for number in range(args.seeds)]
    if not args.tables:
        runner = Runner(1)
        runner.stop_on_signals()
        for outcome in runner.run_all(jobs):
            print(outcome, flush=True)
    done = {job.seed.number: read_rows(job.csv) for job in jobs if job.csv.exists()}
    if done:
        print(arms_table(done), solved_table(done), pairs_table(done), sep="\n\n")
    print(f"{len(done)} of {len(jobs)} seeds are finished.")
    return 0 if len(done) == len(jobs) else 1


if __name__ == "__main__":
    sys.exit(main())
