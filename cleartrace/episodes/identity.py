"""When two runs are the same run, and when two contexts are the same context."""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple, Protocol

from cleartrace.episodes.types import Context, Trajectory


class HasTask(Protocol):
    """Whatever names a task: a `Task`, a `TaskKey`."""

    @property
    def environment(self) -> str: ...

    @property
    def id(self) -> str: ...


class TaskKey(NamedTuple):
    """A task by its names."""

    environment: str
    id: str


class RunKey(NamedTuple):
    """Everything that decides how a run goes. `context`: see `context_hash`."""

    environment: str
    task: str
    agent: str
    context: str
    seed: int


def context_hash(context: Context) -> str:
    """16 hexadecimal characters over what the agent is given: text, parts with their revisions, kind of probe.

    The provider's hash is left out: an edit that does not reach a task's context must not run the task again (A20).
    """
    parts = [(part.kind.value, part.id, part.revision) for part in context.parts]
    text = json.dumps([context.text, parts, context.probe], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_key(trajectory: Trajectory) -> RunKey:
    """Of a run that was made."""
    return RunKey(
        trajectory.environment,
        trajectory.task_id,
        trajectory.agent,
        context_hash(trajectory.context),
        trajectory.seed,
    )
