"""What a run of the miniature leaves as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cleartrace.data.files import whole_file
from recipe.clear.settings import Seed


def path_of(seed: Seed, what: str) -> Path:
    return seed.folder / f"{what}.csv"


def write_rows(seed: Seed, what: str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Whole or not at all."""
    found = list(rows)
    with whole_file(path_of(seed, what)) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    return path_of(seed, what)


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def add_seconds(seed: Seed, stage: str, seconds: float) -> None:
    """Time of a stage, added up over the starts of a run that was resumed."""
    path = path_of(seed, "seconds")
    before = {row["stage"]: float(row["seconds"]) for row in read_rows(path)} if path.exists() else {}
    now = before | {stage: round(before.get(stage, 0.0) + seconds, 1)}
    write_rows(seed, "seconds", ({"stage": name, "seconds": value} for name, value in now.items()))
