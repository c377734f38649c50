"""Which importer reads what, and reading into a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cleartrace.episodes.importers import clear, messages, rcl, training
from cleartrace.episodes.importers.common import Found, Refused, Source
from cleartrace.episodes.names import Format
from cleartrace.episodes.store import RUNS, EpisodeStore


@dataclass
class Report:
    """`known`: runs that the store held before."""

    added: int
    known: int
    refused: list[Refused]


def _store(source: Source) -> Found:
    """The runs of another store."""
    other = EpisodeStore(source.path, create=False)
    for row in other.find():
        yield other.get(row.id)
    for folder, reason in other.broken.items():
        yield Refused(str(folder), reason)


_READERS: dict[Format, Callable[[Source], Found]] = {
    Format.MESSAGES: messages.read,
    Format.TRAINING: training.read,
    Format.RCL: rcl.read,
    Format.CLEAR: clear.read,
    Format.STORE: _store,
}


def import_into(store: EpisodeStore, source: Source, format: Format | None = None) -> Report:
    """Read all runs of `source` into `store`; doing it twice adds nothing.

    Raises:
        ValueError: there is nothing at the path, or its format cannot be told.
    """
    report = Report(0, 0, [])
    for found in _READERS[format or guess(source.path)](source):
        if isinstance(found, Refused):
            report.refused.append(found)
            continue
        before = len(store)
        store.add(found)
        if len(store) > before:
            report.added += 1
        else:
            report.known += 1
    return report


def guess(path: Path) -> Format:
    """The format of what is at `path`. Raises: ValueError."""
    if path.is_file():
        return _of_file(path)
    if not path.is_dir():
        raise ValueError(f"there is nothing at {path}")
    if (path / RUNS).is_dir():
        return Format.STORE
    if (path / "trajectories.jsonl").is_file():
        return Format.TRAINING
    if (path / "iterations").is_dir() or any(path.glob("*.json")):
        return Format.RCL
    if any(task.is_dir() for run in path.iterdir() if run.is_dir() for task in run.iterdir()):
        return Format.CLEAR
    raise ValueError(f"{path} holds runs in no known form; name one with --format: {_names()}")


def _of_file(path: Path) -> Format:
    if path.suffix == ".json":
        return Format.RCL
    with path.open(encoding="utf-8", errors="replace") as file:
        line = next((line for line in file if line.strip()), "")
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if isinstance(row, dict) and "messages" in row:
        return Format.MESSAGES
    if isinstance(row, dict) and "segments" in row:
        return Format.TRAINING
    raise ValueError(f"the first line of {path} is no run in a known form; name one with --format: {_names()}")


def _names() -> str:
    return ", ".join(format.value for format in Format)
