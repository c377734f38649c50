"""`bash recipe/clear/ruleworld.sh [--seed N] [--charged]`: CLEAR from runs to comparison, in the rule world, on a CPU.

Stage by stage; what a stage has finished is not done again, so the same command goes on after a kill.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence

from recipe.clear import evaluation, guidance_rows, training
from recipe.clear.results import add_seconds, write_rows
from recipe.clear.settings import NO_CONTRAST, Seed


def stages(seed: Seed) -> list[tuple[str, Callable[[], object]]]:
    """In order. Each may be called again at any time."""
    no_contrast = ("SFT, no contrast", lambda: training.train_sft(seed, NO_CONTRAST))
    return [
        ("collect and reflect", lambda: asyncio.run(guidance_rows.collect_and_reflect(seed))),
        ("write files", lambda: guidance_rows.write_files(seed)),
        ("SFT", lambda: training.train_sft(seed)),
        *([] if seed.charged else [no_contrast]),
        ("GRPO", lambda: training.train_grpo(seed)),
        ("evaluate", lambda: _evaluate(seed)),
    ]


def run(seed: Seed) -> None:
    """Raises `TrainingFailed`, and what the stages raise."""
    with seed.project().locked():
        for name, stage in stages(seed):
            started = time.monotonic()
            found = stage()
            seconds = time.monotonic() - started
            add_seconds(seed, name, seconds)
            print(f"{seconds / 60:5.1f} min  {name}{f': {found}' if found else ''}", flush=True)


def _evaluate(seed: Seed) -> str:
    arms = {name: evaluation.evaluate(seed, name) for name in evaluation.arms_of(seed)}
    page = evaluation.write(seed, arms)
    write_rows(seed, "runs", evaluation.rows(arms))
    return str(page)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="recipe/clear/ruleworld.sh", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--grpo-steps", type=int, default=Seed(0).grpo_steps)
    parser.add_argument("--charged", action="store_true", help="reward the gain of a guidance less its length; 3 arms")
    args = parser.parse_args(argv)
    try:
        run(Seed(args.seed, args.grpo_steps, args.charged))
    except training.TrainingFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
