"""What importers share: refusals, outcomes, text at the boundary."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.episodes.types import Episode, Failure, FailureKind, Outcome
from cleartrace.trajectory.record import written


@dataclass(frozen=True)
class Refused:
    """A run that was not imported. `where`: file and line, or folder."""

    where: str
    reason: str


Found = Iterator[Episode | Refused]


class Unreadable(ValueError):
    """A record that an importer cannot read; the text is the reason."""


@dataclass(frozen=True)
class Source:
    """Where runs are read from.

    Args:
        environment: name for runs that do not say theirs; "" takes what the format offers.
        agent: the same for the agent.
    """

    path: Path
    environment: str = ""
    agent: str = ""


class Seeds:
    """Numbers runs of one task that have no seed of their own, in the order in which they are read."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, ...]] = Counter()

    def of(self, *group: str) -> int:
        self._seen[group] += 1
        return self._seen[group] - 1


def outcome_of(score: Any, feedback: str = "", details: dict[str, Any] | None = None) -> Outcome:
    """An outcome from a score as a log has it: a number from 0 to 1, a truth value, or nothing.

    A run that nobody scored is kept and does not count.

    Raises:
        Unreadable: another score.
    """
    details = details or {}
    if score is None:
        failure = Failure(kind=FailureKind.JUDGE, message="the log holds no score")
        return Outcome(score=None, feedback=feedback, details=details, failure=failure)
    if not isinstance(score, (int, float)) or not 0 <= score <= 1:
        raise Unreadable(f"the score is {score!r}, not a number from 0 to 1")
    return Outcome(score=float(score), feedback=feedback, details=details)


def text_of(value: Any) -> str:
    """A value as text that UTF-8 can hold: strings as they are, others as JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return written(text) or ""


def task_of(text: str) -> str:
    """A task's id made from its text: runs on the same text are runs on the same task."""
    return "task-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def read_json(path: Path) -> Any:
    """Raises: `Unreadable`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Unreadable(f"not readable as JSON ({error})") from None
