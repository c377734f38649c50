"""What belongs to one rollout and ends with it. A function tool is shared by all rollouts; this tells them apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")


class RolloutScope:
    """Resources of one rollout, opened when first asked for and closed, newest first, when the rollout ends."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._opening: dict[Hashable, asyncio.Task[Any]] = {}

    async def resource(
        self, key: Hashable, make: Callable[[], Awaitable[T]], close: Callable[[T], Awaitable[None]]
    ) -> T:
        """The resource named `key`, made by the first caller; calls of one turn may ask at the same time."""
        if key not in self._opening:

            async def opened() -> T:
                made = await make()
                self._stack.push_async_callback(close, made)
                return made

            self._opening[key] = asyncio.ensure_future(opened())
        return await asyncio.shield(self._opening[key])

    async def close(self) -> None:
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        await self._stack.aclose()


_CURRENT: ContextVar[RolloutScope | None] = ContextVar("cleartrace_rollout", default=None)


def current_rollout() -> RolloutScope:
    """The scope of the rollout that this coroutine works for. Raises RuntimeError outside of one."""
    scope = _CURRENT.get()
    if scope is None:
        raise RuntimeError("this tool keeps state per rollout and works in saar_agent only (agent_name: saar_agent)")
    return scope


@asynccontextmanager
async def rollout_scope() -> AsyncIterator[RolloutScope]:
    scope = RolloutScope()
    token = _CURRENT.set(scope)
    try:
        yield scope
    finally:
        _CURRENT.reset(token)
        await scope.close()
