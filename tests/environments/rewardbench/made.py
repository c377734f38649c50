"""A small data set in RewardBench 2's format, made by rule."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any


def rows(singles: int = 60, pairs: int = 10, incorrect: int = 3, seed: int = 0) -> list[dict[str, Any]]:
    """`singles` sums in two subsets, one right and `incorrect` wrong answers each, and `pairs` of Ties prompts."""
    rng = random.Random(seed)
    made = [_sum(number, rng, incorrect) for number in range(singles)]
    for number in range(pairs):
        limit = 20 + number
        wrong = [f"{limit + 1 + step} is one." for step in range(5)]
        many = [f"{step} is one." for step in range(4)]
        made.append(_row(f"ref:{number}", f"Name the number {limit}.", [f"{limit} is one."], wrong, "Ties"))
        made.append(_row(f"tied:{number}", f"Name a number up to {limit}.", many, wrong, "Ties"))
    return made


def _sum(number: int, rng: random.Random, incorrect: int) -> dict[str, Any]:
    left, right = rng.randint(1, 99), rng.randint(1, 99)
    wrong = [f"It is {left + right + step}." for step in range(1, incorrect + 1)]
    subset = "Math" if number % 3 else "Factuality"
    return _row(str(number), f"What is {left} + {right}?", [f"It is {left + right}."], wrong, subset)


def _row(name: str, prompt: str, chosen: list[str], rejected: list[str], subset: str) -> dict[str, Any]:
    models = [f"model-{place}" for place in range(len(chosen) + len(rejected))]
    row = {"id": name, "prompt": prompt, "chosen": chosen, "rejected": rejected, "subset": subset}
    return row | {"models": models, "additional_metadata": {"canary": "rewardbench-canary"}}


def write(path: Path, made: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return path
