"""Runs that serve credit are probe runs, and count in no metric (R4)."""

from __future__ import annotations

import hashlib

from cleartrace.context.provider import ContextProvider
from cleartrace.episodes.types import Context, Task


class AsProbe:
    """Another provider's answers, marked as probes. `what`: what the runs are for."""

    def __init__(self, inner: ContextProvider, what: str) -> None:
        self._inner, self._what = inner, what
        self._hash = hashlib.sha256(f"{inner.hash}:probe:{what}".encode()).hexdigest()[:16]

    @property
    def hash(self) -> str:
        return self._hash

    async def context_for(self, task: Task, seed: int) -> Context:
        context = await self._inner.context_for(task, seed)
        return context.model_copy(update={"probe": self._what, "provider_hash": self._hash})
