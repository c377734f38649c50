"""A statistics file and a data set with the counts of the published ones (specification, section 11.3)."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

CODE_BY_RATE = (1889, 361, 332, 331, 318, 311, 322, 266, 180)
OTHER_BY_RATE = (6997, 1888, 1524, 1533, 1596, 1852, 2253, 3104, 5071)

# name: (rows, rows without a success)
SOURCES = {
    "math_dapo": (17917, 3256),
    "mega-science": (3000, 1714),
    "train-math-numinamath1.5_olympiads": (2079, 838),
    "train-math-deepscaler": (1833, 812),
    "train-code-taco-easy": (1759, 1154),
    "train-code-taco-medium_hard": (545, 227),
    "train-math-numinamath1.5_aops_forum": (466, 183),
    "train-code-leetcode-Medium": (453, 52),
    "test-code-leetcode-Medium": (72, 18),
    "train-code-taco-medium": (378, 146),
    "train-code-taco-unknown_difficulty": (351, 83),
    "train-code-taco-hard": (298, 112),
    "train-math-numinamath1.5_cn_contest": (220, 76),
    "train-code-leetcode-Hard": (210, 50),
    "test-code-leetcode-Hard": (20, 3),
    "train-math-still3": (161, 58),
    "train-code-taco-very_hard": (124, 33),
    "train-code-leetcode-Easy": (87, 9),
    "test-code-leetcode-Easy": (13, 2),
    "train-math-numinamath1.5_aime19832023": (77, 35),
    "train-math-numinamath1.5_amc_aime": (24, 7),
    "train-math-numinamath1.5_inequalities": (21, 9),
    "train-math-numinamath1.5_olympiads_ref": (12, 5),
    "train-math-numinamath1.5_number_theory": (5, 4),
    "train-math-omnimath": (3, 0),
}


def sources_and_successes(seed: int = 0) -> list[tuple[str, int]]:
    """(data source, successes of 8) of 30,128 rows, in an arbitrary order."""
    rows = [(name, 0) for name, (_, zero) in SOURCES.items() for _ in range(zero)]
    for by_rate, is_code in ((CODE_BY_RATE, True), (OTHER_BY_RATE, False)):
        rest = [k for k, count in enumerate(by_rate) if k for _ in range(count)]
        random.Random(seed).shuffle(rest)
        names = [n for n, (all_, zero) in SOURCES.items() if ("code" in n) is is_code for _ in range(all_ - zero)]
        rows += zip(names, rest, strict=True)
    random.Random(seed + 1).shuffle(rows)
    return rows


def success_line(uid: int, source: str, successes: int) -> dict[str, Any]:
    rate = successes / 8
    return {
        "uid": str(uid),
        "data_source": source,
        "successes": successes,
        "attempts": 8,
        "success_rate": rate,
        "avg_score": rate,
        "keep": rate < 1,
    }


def verl_row(number: int, source: str) -> dict[str, Any]:
    return {
        "data_source": source,
        "prompt": [{"role": "user", "content": f"Question {number}?"}],
        "ability": "math",
        "reward_model": {"ground_truth": str(number), "style": "rule"},
        "extra_info": json.dumps({"index": number}),
    }


def write_published(folder: Path, n: int | None = None) -> tuple[Path, Path]:
    """(statistics, data set), of all rows or the first `n`."""
    rows = sources_and_successes()[:n]
    stats, dataset = folder / "success.jsonl", folder / "Open-AgentRL-30K.parquet"
    stats.write_text("".join(json.dumps(success_line(i, *row)) + "\n" for i, row in enumerate(rows)))
    pq.write_table(pa.Table.from_pylist([verl_row(i, source) for i, (source, _) in enumerate(rows)]), dataset)
    return stats, dataset
