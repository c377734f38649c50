"""The one seam: methods that learn context differ only in who answers `context_for`."""

from __future__ import annotations

from typing import Protocol

from cleartrace.episodes.types import Context, Task


class ContextProvider(Protocol):
    """Makes the text that stands beside a task.

    Contract, held by one suite for all providers (A1): the answer depends on provider state, task and seed alone;
    `parts` name what it was built from; it is within the provider's token cap; it has no side effect on what is learned
    and may be asked in any order and in parallel.
    """

    @property
    def hash(self) -> str:
        """Changes whenever an answer could change."""
        ...

    async def context_for(self, task: Task, seed: int) -> Context: ...
