"""Tables of the study from its CSVs alone: means over seeds, Student 95 % intervals, differences paired by seed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from cleartrace.evaluate.stats import mean_interval
from recipe.cleaner.study.arms import BY_NAME, Group
from recipe.cleaner.study.runs import Job

LAST_STEPS = 3
"""Training metrics jump from step to step with the tasks of the step, so their end is a mean over the last steps."""


@dataclass(frozen=True)
class Column:
    """One number per run. `places`: decimals shown."""

    title: str
    split: str
    metric: str
    percent: bool = False
    places: int = 2


COLUMNS = (
    Column("solved, rollback off", "held_out", "acc", percent=True),
    Column("solved, rollback on", "held_out_with_rollback", "acc", percent=True),
    Column("first calls failed", "held_out", "first_call_failure_rate", percent=True),
    Column("failures per trajectory", "held_out", "failures_per_trajectory"),
    Column("training: failures per trajectory", "train", "failures_per_trajectory"),
    Column("tokens discarded", "train", "discard_ratio", percent=True),
)


def value_of(path: Path, column: Column) -> float | None:
    """End value of a run: its last evaluation, or the mean of its last training steps; None where never measured."""
    with path.open() as file:
        rows = [r for r in csv.DictReader(file) if (r["split"], r["metric"]) == (column.split, column.metric)]
    rows.sort(key=lambda r: int(r["step"]))
    last = rows[-LAST_STEPS:] if column.split == "train" else rows[-1:]
    return fmean(float(r["value"]) for r in last) if last else None


def steps_of(path: Path) -> int:
    with path.open() as file:
        return max(int(r["step"]) for r in csv.DictReader(file))


def ends(jobs: Sequence[Job], column: Column) -> dict[str, dict[int, float]]:
    """arm -> seed -> end value, of the jobs that have their CSV."""
    found: dict[str, dict[int, float]] = {}
    for job in jobs:
        value = value_of(job.csv, column) if job.csv.exists() else None
        if value is not None:
            found.setdefault(job.arm.name, {})[job.seed] = value
    return found


def end_table(jobs: Sequence[Job]) -> str:
    """Markdown: every arm at the end of its budget."""
    lines = ["| arm | seeds | steps | " + " | ".join(c.title for c in COLUMNS) + " |"]
    lines.append("|---" * (len(COLUMNS) + 3) + "|")
    values = [ends(jobs, column) for column in COLUMNS]
    for arm in dict.fromkeys(job.arm.name for job in jobs if job.csv.exists()):
        mine = [job for job in jobs if job.arm.name == arm and job.csv.exists()]
        steps = [steps_of(job.csv) for job in mine]
        cells = [_interval(list(v.get(arm, {}).values()), c) for v, c in zip(values, COLUMNS, strict=True)]
        lines.append(f"| {arm} | {len(mine)} | {min(steps)} to {max(steps)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def difference_table(jobs: Sequence[Job]) -> str:
    """Markdown: main arms minus `grpo`, every other arm minus `cleaner`, paired by seed."""
    lines = ["| arm | minus | seeds | " + " | ".join(c.title for c in COLUMNS) + " |"]
    lines.append("|---" * (len(COLUMNS) + 3) + "|")
    values = [ends(jobs, column) for column in COLUMNS]
    for arm, reference in _pairs([job.arm.name for job in jobs]):
        cells, seeds = [], 0
        for found, column in zip(values, COLUMNS, strict=True):
            mine, theirs = found.get(arm, {}), found.get(reference, {})
            shared = sorted(set(mine) & set(theirs))
            seeds = max(seeds, len(shared))
            cells.append(_interval([mine[seed] - theirs[seed] for seed in shared], column))
        if seeds:
            lines.append(f"| {arm} | {reference} | {seeds} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _pairs(arms: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for arm in dict.fromkeys(arms):
        main = BY_NAME[arm].group is Group.MAIN
        if arm != "grpo":
            pairs.append((arm, "grpo"))
        if not main or arm == "cleaner-token-is":
            pairs.append((arm, "cleaner"))
    return pairs


def _interval(values: Sequence[float], column: Column) -> str:
    if not values:
        return ""
    mean, low, high = mean_interval(values)
    scale, places, unit = (100, 1, " %") if column.percent else (1, column.places, "")
    shown = f"{scale * mean:.{places}f}{unit}"
    return shown if len(values) == 1 else f"{shown} [{scale * low:.{places}f}, {scale * high:.{places}f}]"
