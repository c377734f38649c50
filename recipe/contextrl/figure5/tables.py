"""The table and the picture of the study, from the rows of its runs alone."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from cleartrace.evaluate.stats import mean_interval
from cleartrace.probe.figure5 import points, read_runs, write_points
from cleartrace.probe.figure5_svg import draw
from cleartrace.report.build import write_whole

Rows = Sequence[Mapping[str, str]]
COLUMNS = {
    "x": "selection accuracy",
    "y": "tasks solved",
    "debiased": "right by both orders' mean",
    "order_consistency": "orders agree",
    "blind": "contexts hidden",
    "swapped": "other answer",
}


def table(rows: Rows) -> str:
    """Markdown: each method, mean over seeds in percent with a Student 95 % interval."""
    lines = ["| method | seeds | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        cells = [_cell([float(row[name]) for row in mine if row[name]]) for name in COLUMNS]
        lines.append(f"| {method} | {len(mine)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def differences(rows: Rows, reference: str = "RL") -> str:
    """Markdown: each method minus `reference`, paired by seed."""
    shown = ("x", "y")
    lines = [
        f"| method minus {reference} | seeds | " + " | ".join(COLUMNS[name] for name in shown) + " |",
        "|---|---|---|---|",
    ]
    base = {row["seed"]: row for row in rows if row["method"] == reference}
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method and row["seed"] in base]
        if method != reference and mine:
            cells = [_cell([float(row[name]) - float(base[row["seed"]][name]) for row in mine]) for name in shown]
            lines.append(f"| {method} | {len(mine)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def picture(rows: Rows, merged: Path, out: Path) -> Path:
    """Write the rows as one CSV and draw it."""
    merged.parent.mkdir(parents=True, exist_ok=True)
    with merged.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    found = points(read_runs(merged))
    write_points(merged.with_suffix(".points.csv"), found)
    return write_whole(out, draw(found, y_label="held-out tasks solved, %", paper=False))


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean, low, high = mean_interval(values)
    return f"{mean:.1f}" if len(values) == 1 else f"{mean:.1f} [{low:.1f}, {high:.1f}]"
