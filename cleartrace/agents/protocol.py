"""An execution agent: frozen, possibly a black box, run on a task with a context beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cleartrace.context.provider import ContextProvider
from cleartrace.episodes.types import Context, Episode, Task


class ExecutionAgent(Protocol):
    """Runs a task once."""

    @property
    def hash(self) -> str:
        """Of everything that changes what it does: model, decoding, prompts, limits, tools, environment."""
        ...

    async def run(self, task: Task, context: Context, seed: int) -> Episode:
        """Whatever happens, an episode; cancelling ends whatever it started."""
        ...


@dataclass(frozen=True)
class RunRequest:
    """One run that is wanted."""

    task: Task
    seed: int
    provider: ContextProvider


class EpisodeRunner(Protocol):
    """Runs many, at most so many at once, from a cache where the same run was made before."""

    async def run(self, requests: Sequence[RunRequest]) -> list[Episode]:
        """One episode for each request, in their order (S9). Raises `BudgetExhausted` alone."""
        ...
