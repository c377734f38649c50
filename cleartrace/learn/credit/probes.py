"""Runs that serve credit: on drawn tasks, some entries left out. They are probe runs, and count in no metric (R4)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence

from cleartrace.agents.protocol import RunRequest
from cleartrace.context.playbook.apply import without
from cleartrace.context.playbook.types import Playbook
from cleartrace.context.provider import ContextProvider
from cleartrace.episodes.types import Context, Task
from cleartrace.learn.credit.draws import Draw

ProviderOf = Callable[[Playbook], ContextProvider]


class AsProbe:
    """Another provider's answers, marked as probes. `what`: the perturbation's name."""

    def __init__(self, inner: ContextProvider, what: str) -> None:
        self._inner, self._what = inner, what
        self._hash = hashlib.sha256(f"{inner.hash}:probe:{what}".encode()).hexdigest()[:16]

    @property
    def hash(self) -> str:
        return self._hash

    async def context_for(self, task: Task, seed: int) -> Context:
        context = await self._inner.context_for(task, seed)
        return context.model_copy(update={"probe": self._what, "provider_hash": self._hash})


def probe_runs(
    provide: ProviderOf, playbook: Playbook, left_out: Collection[str], draws: Sequence[Draw]
) -> list[RunRequest]:
    """One run for each draw, with those entries left out."""
    reduced = without(playbook, set(left_out))
    provider = AsProbe(provide(reduced), f"without {', '.join(sorted(left_out))}" if left_out else "whole")
    return [RunRequest(draw.task, draw.seed, provider) for draw in draws]
