"""Read a run folder. Damage is tolerated here, at the boundary, and always told: see `Run.notes`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from cleartrace.trajectory.record import SCHEMA_VERSION, TrajectoryRecord

T = TypeVar("T")
MAX_LISTED = 5


class ReportError(Exception):
    """A report cannot be built; the message says which file and what to do."""


@dataclass(frozen=True)
class MetricRow:
    """Metrics of one step; only finite numbers are kept."""

    step: int
    data: dict[str, float]


@dataclass(frozen=True)
class Run:
    """A run folder in memory. `notes` are sentences the reader of the report must see."""

    name: str
    config: dict[str, Any]
    metrics: tuple[MetricRow, ...]
    records: tuple[TrajectoryRecord, ...]
    notes: tuple[str, ...] = ()


class _MetricLine(BaseModel):
    step: int
    data: dict[str, Any]


def load_run(run_dir: Path) -> Run:
    """Read config.yaml, metrics.jsonl and trajectories.jsonl; any but not all of the three may be missing.

    Raises:
        ReportError: no such folder, nothing to show in it, or rows of an unknown schema version.
    """
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise ReportError(f"{run_dir} is not a folder; give the folder of one run, such as runs/NAME")
    notes: list[str] = []
    config = _read_config(run_dir / "config.yaml", notes)
    metrics = _merge_steps(_read_lines(run_dir / "metrics.jsonl", _parse_metrics, notes))
    records = _read_lines(run_dir / "trajectories.jsonl", _parse_record, notes)
    if not metrics and not records:
        raise ReportError(
            f"{run_dir} has nothing to show: metrics.jsonl and trajectories.jsonl are missing, empty or unreadable. "
            "Was the run stopped before its first step?" + "".join(f"\n  {note}" for note in notes)
        )
    return Run(run_dir.resolve().name, config, metrics, _drop_repeats(records, notes), tuple(notes))


def _read_config(path: Path, notes: list[str]) -> dict[str, Any]:
    if not path.exists():
        notes.append(f"{path.name} is missing, so no settings are shown.")
        return {}
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        notes.append(f"{path.name} cannot be read as YAML: {error}")
        return {}
    if not isinstance(config, dict):
        notes.append(f"{path.name} holds no mapping of settings.")
        return {}
    return config


def _read_lines(path: Path, parse: Callable[[bytes], T], notes: list[str]) -> list[T]:
    """Parse each line. A bad line is skipped and noted; a killed run leaves at most a cut last one."""
    if not path.exists():
        notes.append(f"{path.name} is missing; this report is partial.")
        return []
    rows: list[T] = []
    bad: list[str] = []
    for number, line in _numbered_lines(path):
        try:
            rows.append(parse(line))
        except _UnknownVersion as error:
            raise ReportError(
                f"{path}, line {number}: schema_version {error.version!r} is not known to this cleartrace, which reads "
                f"version {SCHEMA_VERSION}. Build the report with the cleartrace that wrote the run."
            ) from None
        except ValueError as error:
            cut = not line.endswith(b"\n")
            bad.append(f"line {number} ({'cut off, the run was killed while writing it' if cut else _reason(error)})")
    if bad:
        listed = "; ".join(bad[:MAX_LISTED]) + ("; ..." if len(bad) > MAX_LISTED else "")
        notes.append(f"{path.name}: {len(bad)} of {len(bad) + len(rows)} lines skipped: {listed}.")
    return rows


def _numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


class _UnknownVersion(Exception):
    def __init__(self, version: object) -> None:
        super().__init__(version)
        self.version = version


def _parse_record(line: bytes) -> TrajectoryRecord:
    try:
        return TrajectoryRecord.model_validate_json(line)
    except ValidationError as error:
        for problem in error.errors():
            if problem["loc"] == ("schema_version",):
                raise _UnknownVersion(problem["input"]) from None
        raise


def _parse_metrics(line: bytes) -> MetricRow:
    row = _MetricLine.model_validate(json.loads(line))
    numbers = {key: float(value) for key, value in row.data.items() if isinstance(value, (int, float))}
    return MetricRow(row.step, {key: value for key, value in numbers.items() if math.isfinite(value)})


def _reason(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return f"not JSON: {error}"
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


def _merge_steps(rows: list[MetricRow]) -> tuple[MetricRow, ...]:
    """One row per step, in order. A resumed run writes steps again: the later value stands."""
    merged: dict[int, dict[str, float]] = {}
    for row in rows:
        merged.setdefault(row.step, {}).update(row.data)
    return tuple(MetricRow(step, merged[step]) for step in sorted(merged))


def _drop_repeats(records: list[TrajectoryRecord], notes: list[str]) -> tuple[TrajectoryRecord, ...]:
    """A resumed run repeats steps; counting a rollout twice would narrow every interval."""
    unique = {(r.step, r.split, r.arm, r.data_source, r.sample_id, r.rollout): r for r in records}
    if len(unique) < len(records):
        notes.append(
            f"trajectories.jsonl: {len(records) - len(unique)} rows repeat the step, sample and rollout of a later row "
            "(a resumed run); the later row is shown."
        )
    return tuple(sorted(unique.values(), key=lambda r: (r.step, r.split, r.arm)))
