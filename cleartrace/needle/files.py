"""The two files of a scored grid."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from cleartrace.data.files import whole_file
from cleartrace.needle.picture import heat_map
from cleartrace.needle.score import Cell

SCORES, PICTURE = "scores.csv", "heat_map.svg"


def write_scores(folder: Path, cells: Sequence[Cell], title: str = "") -> Path:
    """Write `scores.csv` (one line per cell) and `heat_map.svg`; returns the picture's path."""
    picture = heat_map(cells, title)
    names = [field.name for field in fields(Cell)]
    with whole_file(folder / SCORES) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for cell in cells:
            writer.writerow([cell.kind.value, *(getattr(cell, name) for name in names[1:])])
    with whole_file(folder / PICTURE) as partial:
        partial.write_text(picture, encoding="utf-8")
    return folder / PICTURE
