"""Rows of the study: one CSV for each arm, appended run by run, so that a study that is broken off goes on."""

from __future__ import annotations

import csv
import gc
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cleartrace.data.files import whole_file
from recipe.rcl.study.acceptance import Outcome, compare
from recipe.rcl.study.arms import BY_NAME
from recipe.rcl.study.bench import Curve, learn
from recipe.rcl.study.credit import measure

RESULTS = Path("docs/results/rcl")
RUNS = 400
GRID = tuple(range(0, RUNS + 1, 50))
CALLS = 440
"""Model calls at which arms are compared too: all but few runs of every arm get that far."""
BUDGETS = (720, 1440)
COUPLINGS = (1.0, 0.0)

Row = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """What makes the rows of one seed of one file."""

    file: str
    seed: int

    @property
    def path(self) -> Path:
        return RESULTS / f"{self.file}.csv"

    def rows(self) -> list[Row]:
        if self.file == "acceptance":
            return [_accepted(compare(self.seed, one), one) for one in COUPLINGS]
        if self.file == "credit":
            found = [one for c in COUPLINGS for budget in BUDGETS for one in measure(self.seed, c, budget)]
            return [{k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(one).items()} for one in found]
        return [_curve(learn(BY_NAME[self.file.removeprefix("arm-")], self.seed, RUNS), self.seed)]


def _curve(curve: Curve, seed: int) -> Row:
    """Success at each number of agent runs of the grid, and at so many model calls, whatever they were for."""
    points, end = curve.points, curve.points[-1]
    ceiling = curve.world.mean_success(curve.world.tasks("test"), curve.world.gold_context())
    row: Row = {"seed": seed, "ceiling": round(ceiling, 4)}
    row |= {f"at_{runs}": _at(points, "runs", runs) for runs in GRID}
    return row | {
        "at_calls": _at(points, "calls", CALLS),
        "runs": end.runs,
        "calls": end.calls,
        "iterations": len(points) - 1,
        "entries": len(curve.last) if curve.last else 0,
    }


def _at(points: Sequence[Any], what: str, limit: int) -> float:
    return round([one.success for one in points if getattr(one, what) <= limit][-1], 4)


def _accepted(outcome: Outcome, coupling: float) -> Row:
    row: Row = {"seed": outcome.seed, "coupling": coupling}
    for name in ("always", "paired", "long"):
        for key, value in asdict(getattr(outcome, name)).items():
            row[f"{name}_{key}"] = round(value, 4)
    return row


def read(file: str) -> list[dict[str, str]]:
    """Whole rows of a file; a row that a broken run left half written is passed over."""
    path = RESULTS / f"{file}.csv"
    if not path.exists():
        return []
    with path.open(newline="") as lines:
        return [row for row in csv.DictReader(lines) if None not in row and None not in row.values()]


def missing(files: Sequence[str], seeds: int) -> list[Work]:
    """Seed by seed, so that a study that is broken off has every file at equally many seeds."""
    there = {file: {int(row["seed"]) for row in read(file)} for file in files}
    return [Work(file, seed) for seed in range(seeds) for file in files if seed not in there[file]]


def run_all(works: Sequence[Work], jobs: int) -> Iterator[Work]:
    """Each work's rows are written together as soon as they are there."""
    with ProcessPoolExecutor(jobs, initializer=gc.disable) as pool:
        futures = {pool.submit(_rows, one): one for one in works}
        for future in as_completed(futures):
            _append(futures[future].path, future.result())
            yield futures[future]


def _rows(work: Work) -> list[Row]:
    rows = work.rows()
    gc.collect()
    return rows


def _append(path: Path, rows: Sequence[Row]) -> None:
    """All rows of a work in one write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    if not path.exists():
        writer.writeheader()
    writer.writerows(rows)
    with path.open("a", newline="") as file:
        file.write(text.getvalue())


def tidy(file: str) -> None:
    """Whole rows in one order, so that equal studies leave equal files, and a broken one can be gone on with."""
    rows = sorted(read(file), key=_place)
    if rows:
        with whole_file(RESULTS / f"{file}.csv") as partial, partial.open("w", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def _place(row: dict[str, str]) -> tuple[Any, ...]:
    return (
        int(row["seed"]),
        row.get("coupling", ""),
        int(row.get("budget", 0)),
        row.get("method", ""),
        row.get("entry", ""),
    )
