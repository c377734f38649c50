"""The outcome of attacks as a table and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from code_judge.attack.model import Attack, Column, Row, Verdict

_TITLE_WIDTH = 48


def _row(column: Column, attack: Attack) -> Row:
    return next(row for row in column.rows if row.attack is attack)


def table(columns: Sequence[Column], attacks: Sequence[Attack]) -> str:
    """One line per attack, then why what was not contained was not, then sums."""
    lines = [" ".join([f"{'class':5}", f"{'what it tries':{_TITLE_WIDTH}}", *(f"{c.level.name:14}" for c in columns)])]
    notes: dict[str, None] = {}
    for attack in attacks:
        words = []
        for column in columns:
            row = _row(column, attack)
            words.append(f"{row.verdict.value:14}")
            if column.unavailable:
                notes[f"{column.level.name}, not applicable: {column.unavailable}"] = None
            elif row.verdict is not Verdict.CONTAINED:
                notes[f"{attack.id} at {column.level.name}, {row.verdict.value}: {row.why}"] = None
        lines.append(f"{attack.id:5} {attack.title[:_TITLE_WIDTH]:{_TITLE_WIDTH}} {' '.join(words)}".rstrip())
    sums = [
        f"{column.level.name} ({column.name}): " + ", ".join(f"{column.count(v)} {v.value}" for v in Verdict)
        for column in columns
    ]
    return "\n".join([*lines, "", *notes, "", *sums])


def as_csv(columns: Sequence[Column]) -> str:
    """One line per attack and level."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["class", "title", "level", "isolation", "verdict", "why", "seconds"])
    for column in columns:
        for row in column.rows:
            attack, seconds = row.attack, f"{row.seconds:.2f}"
            writer.writerow(
                [attack.id, attack.title, column.level.name, column.name, row.verdict.value, row.why, seconds]
            )
    return out.getvalue()
