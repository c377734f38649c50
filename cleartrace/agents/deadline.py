"""A limit on wall time that returns on time, whatever it limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)
"""When the present run must be over, on `time.monotonic`. An agent that keeps to it returns what it did until then; one
that does not is cancelled a little later, and what it did is lost."""

AGENT_END_S = 0.1
"""How long an agent waits for its session to end after the deadline."""


class DeadlinePassed(Exception):
    """It was not done in time."""


async def until(deadline: float | None, work: Coroutine[Any, Any, T], end_s: float = AGENT_END_S) -> T:
    """The result of `work`, which is cancelled at the deadline, or with the caller.

    Args:
        end_s: after that long a coroutine that ignores its cancellation is left behind.

    Raises:
        DeadlinePassed: it was not done in time, also when it finished while it was being cancelled.
    """
    if deadline is None:
        return await work
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=max(deadline - time.monotonic(), 0.0))
    except asyncio.CancelledError:
        await _end(task, end_s)
        raise
    if task.done():
        return task.result()
    await _end(task, end_s)
    raise DeadlinePassed


async def _end(task: asyncio.Future[Any], end_s: float) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=end_s)
    task.add_done_callback(_collect)


def _collect(task: asyncio.Future[Any]) -> None:
    """Nobody waits any more: an error is taken, so that asyncio does not complain of it."""
    if not task.cancelled():
        task.exception()
