"""The chunks of a soak as CSV, one line each, written as soon as it is over: a soak that was broken off goes on."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

_SHARE = 5
_DRIFT = 0.05
_LEAST_ROWS = 10


@dataclass(frozen=True)
class Row:
    """One chunk, then what the service held after it. `service` counts starts.

    `hello_rate`, `hello_cpu_ms`: of a fixed load of trivial programs after the chunk, per second and per run.
    `floor_cpu_ms`: of a bare fork just before and after that load, so that a change of the machine is not taken for one
    of the service.
    """

    chunk: int
    service: int
    level: str
    runs: int
    attacks: int
    lost: int
    wrong: int
    infra: int
    harm: int
    seconds: float
    hello_rate: float
    hello_cpu_ms: float
    floor_cpu_ms: float
    processes: int
    zombies: int
    descriptors: int
    private_mb: float
    files: int
    cgroups: int
    shared_objects: int


def read(path: Path) -> list[Row]:
    """The chunks so far; a line that was cut off is not one. Raises ValueError when the file is something else."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        names = [one.name for one in fields(Row)]
        if reader.fieldnames != names:
            raise ValueError(f"{path} does not hold the chunks of a soak: its columns are {reader.fieldnames}")
        kinds = {"str": str, "int": int, "float": float}
        rows = []
        for line in reader:
            if all(line[name] for name in names):
                rows.append(Row(**{one.name: kinds[str(one.type)](line[one.name]) for one in fields(Row)}))
        return rows


def write(path: Path, rows: Sequence[Row]) -> None:
    """All of them, in place of what the file held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with new.open("w", newline="") as file:
        writer = csv.DictWriter(file, [one.name for one in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in asdict(row).items()})
    new.replace(path)


@dataclass(frozen=True)
class Verdict:
    """Of a whole soak. `failures` is empty when it passed; drifts and growth compare its last fifth with its first."""

    runs: int
    attacks: int
    seconds: float
    rate_drift: float
    cpu_drift: float
    growth: dict[str, tuple[float, float]]
    failures: tuple[str, ...]


def judge(rows: Sequence[Row]) -> Verdict:
    """Medians of chunks, since other load on the machine disturbs single ones. Raises ValueError for no rows."""
    if not rows:
        raise ValueError("a soak without chunks")
    share = max(1, len(rows) // _SHARE)
    first, last = rows[:share], rows[-share:]

    def ends(value: Callable[[Row], float]) -> tuple[float, float]:
        return statistics.median(map(value, first)), statistics.median(map(value, last))

    def drift(value: Callable[[Row], float]) -> float:
        before, after = ends(value)
        return after / before - 1

    failures = []
    for name in ("lost", "wrong", "infra", "harm", "zombies"):
        if count := sum(getattr(row, name) for row in rows):
            failures.append(f"{name}: {count}")
    cpu = drift(lambda row: row.hello_cpu_ms / row.floor_cpu_ms)
    if cpu > _DRIFT and len(rows) >= _LEAST_ROWS:  # a single chunk is at the mercy of other load
        failures.append(f"CPU time per run grew by {cpu:.1%} against that of a bare fork")
    names = ("processes", "descriptors", "private_mb", "files", "cgroups", "shared_objects")
    growth = {name: ends(lambda row, name=name: float(getattr(row, name))) for name in names}
    for name, (_, after) in growth.items():
        # Slots that attacks end are replaced at their next use: only what grows beyond all that was there before leaks.
        if len(rows) >= _LEAST_ROWS and after > (1 + _DRIFT) * max(float(getattr(row, name)) for row in first):
            failures.append(f"{name} grew to {after:g}")
    return Verdict(
        sum(row.runs for row in rows), sum(row.attacks for row in rows), sum(row.seconds for row in rows),
        drift(lambda row: row.hello_rate), cpu, growth, tuple(failures),
    )  # fmt: skip
