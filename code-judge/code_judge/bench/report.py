"""Measurements as a table and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields

from code_judge.bench.floors import Floor
from code_judge.bench.measure import QUIET, Row


def table(rows: Sequence[Row], floors: Sequence[Floor]) -> str:
    """Markdown. The last columns: rate over that of each floor."""
    head = ["load", "runs/s", "CPU ms/run", "p50 ms", "p99 ms", *(f"x {floor.name}" for floor in floors)]
    lines = [_line(head), _line(["---"] * len(head))]
    for floor in floors:
        ratios = [f"{floor.rate / other.rate:.2f}" for other in floors]
        lines.append(_line([f"floor: {floor.name}", f"{floor.rate:.0f}", f"{floor.cpu_ms:.2f}", "", "", *ratios]))
    for row in rows:
        ratios = [f"{row.rate / floor.rate:.2f}" for floor in floors]
        name = f"{row.scenario}{f' ({row.failed} of {row.runs} FAILED)' if row.failed else ''}"
        name += "" if row.idle >= QUIET else " (busy machine)"
        lines.append(
            _line([name, f"{row.rate:.0f}", f"{row.cpu_ms:.2f}", f"{row.p50_ms:.1f}", f"{row.p99_ms:.1f}", *ratios])
        )
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def as_csv(rows: Sequence[Row], floors: Sequence[Floor]) -> str:
    """Every play, floors first with the level `floor`."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(Row)], lineterminator="\n", restval="")
    writer.writeheader()
    for floor in floors:
        writer.writerow(
            {"level": "floor", "scenario": floor.name, "rate": f"{floor.rate:.1f}", "cpu_ms": f"{floor.cpu_ms:.3f}"}
        )
    for row in rows:
        writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in asdict(row).items()})
    return out.getvalue()
