"""A run directory, read for its page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from cleartrace.context.playbook.files import load as load_playbook
from cleartrace.context.playbook.types import Playbook
from cleartrace.data.errors import DataError
from cleartrace.data.files import read_json_lines
from cleartrace.learn.credit import Credits
from cleartrace.learn.protocol import Reflection
from cleartrace.learn.rcl.state import IterationLog, Row
from cleartrace.llm.ledger import LEDGER, Ledger, Spent

HISTORY, PLAYBOOK, RESULT, CREDIT = "history.jsonl", "playbook.json", "result.json", "credit.json"


@dataclass(frozen=True)
class LearnedRun:
    """`ended`: why the run ended, '' while it goes on. `spent`: by role. `notes`: files that could not be read."""

    name: str
    rows: tuple[Row, ...]
    logs: tuple[IterationLog, ...]
    reflected: dict[int, tuple[Reflection, ...]]
    playbook: Playbook
    ended: str
    credits: Credits | None
    spent: tuple[Spent, ...]
    notes: tuple[str, ...]


def load_run(folder: Path) -> LearnedRun:
    """Raises `DataError` for history or playbook; anything else that is missing or torn becomes a note."""
    try:
        rows = tuple(Row.model_validate(row) for _, row in read_json_lines(folder / HISTORY))
    except ValidationError as error:
        raise DataError(folder / HISTORY, f"not the history of an RCL run ({error.errors()[0]['msg']})") from None
    notes: list[str] = []
    logs, reflected = [], {}
    for row in rows:
        place = folder / "iterations" / f"{row.iteration:04d}"
        try:
            logs.append(IterationLog.model_validate_json((place / "iteration.json").read_text(encoding="utf-8")))
            reflected[row.iteration] = tuple(_reflections(place / "reflections"))
        except (OSError, ValueError) as error:
            notes.append(f"iteration {row.iteration} cannot be shown in full: {str(error).splitlines()[0]}")
    return LearnedRun(
        name=folder.resolve().name,
        rows=rows,
        logs=tuple(logs),
        reflected=reflected,
        playbook=load_playbook(folder / PLAYBOOK),
        ended=_ended(folder / RESULT),
        credits=_credits(folder / CREDIT, notes),
        spent=_spent(folder / LEDGER, notes),
        notes=tuple(notes),
    )


def _reflections(folder: Path) -> Iterator[Reflection]:
    for path in sorted(folder.glob("*.json")):
        held = json.loads(path.read_text(encoding="utf-8"))
        yield from (Reflection.model_validate(one) for one in held["result"]["reflections"])


def _ended(path: Path) -> str:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return f"{held['stop']}: {held['reason']}"
    except (OSError, ValueError, KeyError):
        return ""


def _credits(path: Path, notes: list[str]) -> Credits | None:
    if not path.exists():
        return None
    try:
        return Credits.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        notes.append(f"{path.name} cannot be read: {str(error).splitlines()[0]}")
        return None


def _spent(path: Path, notes: list[str]) -> tuple[Spent, ...]:
    try:
        return Ledger.read(path).spent()
    except (OSError, ValueError, KeyError) as error:
        notes.append(f"{path.name} cannot be read: {str(error).splitlines()[0]}")
        return ()
