"""Selection accuracy against task score, one panel per model: figure 5 of arXiv 2606.17053 for own runs.

    python -m cleartrace.probe.figure5 runs/figure5.csv runs/figure5.svg
    python -m cleartrace.probe.figure5 runs/figure5.csv runs/figure5.svg --paper

The CSV has one line per run, in percent: `method,model,seed,x,y` and, where known, `x_low,x_high`, the interval of one
run's accuracy. Runs of one method and model are one point: the mean over seeds, with Student's 95 % interval.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cleartrace.data.errors import DataError
from cleartrace.evaluate.stats import mean_interval

METHODS = ("Base", "RL", "DA-SFT", "DA-RL", "Ours")
COLUMNS = ("method", "model", "seed", "x", "y")
INTERVAL = ("x_low", "x_high")
SUMMARY = ("method", "model", "x", "x_low", "x_high", "y", "y_low", "y_high", "seeds")


@dataclass(frozen=True)
class Run:
    """One training run. `x`: held-out selection accuracy; `y`: task score; both in percent."""

    method: str
    model: str
    seed: int
    x: float
    y: float
    x_low: float | None = None
    x_high: float | None = None


@dataclass(frozen=True)
class Point:
    """One marker, in percent. Bounds are infinite where one seed says nothing of the spread."""

    method: str
    model: str
    x: float
    x_low: float
    x_high: float
    y: float
    y_low: float
    y_high: float
    seeds: int = 0


def read_runs(path: Path) -> list[Run]:
    """Raises DataError that names the line and what is wrong with it."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise DataError(path, f"there is no column {', '.join(missing)}; it needs {','.join(COLUMNS)}")
            runs = [_run(path, number, row) for number, row in enumerate(reader, 2)]
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})") from None
    seen: set[tuple[str, str, int]] = set()
    for run in runs:
        key = (run.method, run.model, run.seed)
        if key in seen:
            raise DataError(path, f"{run.method} of {run.model} has seed {run.seed} twice")
        seen.add(key)
    if not runs:
        raise DataError(path, "there is no run in it")
    return runs


def points(runs: Iterable[Run]) -> list[Point]:
    """One point per model and method, models in the order of the runs.

    With one seed the accuracy keeps the interval of its own probe, where the run names one.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.model, run.method), []).append(run)
    models = list(dict.fromkeys(model for model, _ in groups))
    order = sorted(groups, key=lambda key: (models.index(key[0]), METHODS.index(key[1])))
    return [_point(model, method, groups[model, method]) for model, method in order]


def write_points(path: Path, found: Sequence[Point]) -> None:
    """The drawn numbers as CSV; an unknown bound is empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SUMMARY)
        writer.writerows([_cell(getattr(point, name)) for name in SUMMARY] for point in found)


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.10g}" if math.isfinite(value) else ""


def _point(model: str, method: str, runs: Sequence[Run]) -> Point:
    x, x_low, x_high = mean_interval([run.x for run in runs])
    y, y_low, y_high = mean_interval([run.y for run in runs])
    (first, *more) = runs
    if not more and first.x_low is not None and first.x_high is not None:
        x_low, x_high = first.x_low, first.x_high
    return Point(method, model, x, x_low, x_high, y, y_low, y_high, len(runs))


def _run(path: Path, number: int, row: dict[str, str | None]) -> Run:
    where = f"{path}, line {number}"
    if row["method"] not in METHODS:
        raise DataError(where, f"method is one of {', '.join(METHODS)}, got {row['method']!r}")
    try:
        low, high = (float(text) if (text := row.get(name)) else None for name in INTERVAL)
        x, y = (float(row[name] or "") for name in ("x", "y"))
        seed = int(row["seed"] or "")
    except ValueError as error:
        raise DataError(where, f"not a number ({error})") from None
    if not 0 <= x <= 100 or not math.isfinite(y):
        raise DataError(where, f"x and y are in percent, got x={x}, y={y}")
    return Run(str(row["method"]), str(row["model"]), seed, x, y, low, high)


def main(words: Sequence[str] | None = None) -> int:
    """Exit status 0, or 2 for a file that cannot be used."""
    from cleartrace.probe.figure5_svg import draw
    from cleartrace.report.build import write_whole

    parser = argparse.ArgumentParser(
        prog="python -m cleartrace.probe.figure5", description="Draw figure 5 of own runs."
    )
    parser.add_argument("runs", type=Path, help="CSV: " + ",".join(COLUMNS))
    parser.add_argument("out", type=Path, help="SVG file; the drawn numbers are written beside it as .points.csv")
    parser.add_argument("--paper", action="store_true", help="also draw the points read off the paper's figure")
    parser.add_argument("--y-label", default="task score, %", help="what the task score is")
    given = parser.parse_args(words)
    try:
        found = points(read_runs(given.runs))
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write_points(given.out.with_suffix(".points.csv"), found)
    print(write_whole(given.out, draw(found, y_label=given.y_label, paper=given.paper)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
