"""The failure buffer: tasks that failed come back until they pass often enough, or fail too often.

Published counting (spec 2.8): the first failure inserts a task with 0 failures, so with `evict=3` a task that was
reflected on leaves at its fourth failure. It may come back.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from pydantic import Field

from cleartrace.episodes.types import Record


class ReplayEntry(Record):
    """A failed task, known by its id alone (R13). Counts are consecutive."""

    task_id: str
    passes: int = 0
    failures: int = 0
    reflected: bool = False


class ReplayRules(Record):
    """When tasks leave.

    Args:
        max_size: 0 for no limit; else those inserted first leave first.
        graduate: passes in a row; 0 for never.
        evict: failures in a row after the first one, of a task that was reflected on; 0 for never.
    """

    max_size: int = Field(default=0, ge=0)
    graduate: int = Field(default=5, ge=0)
    evict: int = Field(default=3, ge=0)


class Change(str, Enum):
    """What one result did to the buffer."""

    INSERTED = "inserted"
    KEPT = "kept"
    GRADUATED = "graduated"
    EVICTED = "evicted"
    NONE = "none"


Buffer = tuple[ReplayEntry, ...]
"""In the order of insertion."""


def record(buffer: Buffer, task_id: str, passed: bool, rules: ReplayRules) -> tuple[Buffer, Change]:
    """The buffer after one result of a task; a run that was not scored is no result (R12)."""
    entry = next((one for one in buffer if one.task_id == task_id), None)
    if entry is None:
        return (buffer, Change.NONE) if passed else (_insert(buffer, task_id, rules.max_size), Change.INSERTED)
    counts = (entry.passes + 1, 0) if passed else (0, entry.failures + 1)
    entry = ReplayEntry(task_id=task_id, passes=counts[0], failures=counts[1], reflected=entry.reflected)
    if rules.graduate and entry.passes >= rules.graduate:
        return _without(buffer, task_id), Change.GRADUATED
    if rules.evict and entry.reflected and entry.failures >= rules.evict:
        return _without(buffer, task_id), Change.EVICTED
    return tuple(entry if one.task_id == task_id else one for one in buffer), Change.KEPT


def mark_reflected(buffer: Buffer, task_ids: Iterable[str]) -> Buffer:
    """The buffer with these tasks marked, as far as they are in it."""
    marked = set(task_ids)
    return tuple(one.model_copy(update={"reflected": True}) if one.task_id in marked else one for one in buffer)


def _insert(buffer: Buffer, task_id: str, max_size: int) -> Buffer:
    grown = (*buffer, ReplayEntry(task_id=task_id))
    return grown[-max_size:] if max_size else grown


def _without(buffer: Buffer, task_id: str) -> Buffer:
    return tuple(one for one in buffer if one.task_id != task_id)
