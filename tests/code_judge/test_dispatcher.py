"""The dispatcher against a queue of its own: how it ends, and what it withdraws."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import TimeoutError as RedisTimeout

from code_judge.broker import QueueStatus
from code_judge.dispatcher import Dispatcher, Pending
from code_judge.jobs import Job, RunLimits


class Queue:
    """Answers nothing. `deaf`: takes a cancellation for its own timeout, as redis-py may."""

    def __init__(self, deaf: bool = False) -> None:
        self.deaf = deaf
        self.cancelled: list[str] = []

    async def ensure_group(self) -> None: ...

    async def close(self) -> None: ...

    async def status(self) -> QueueStatus:
        return QueueStatus()

    async def replies(self, reader: str, block_s: float) -> list[Any]:
        try:
            await asyncio.sleep(block_s)
        except asyncio.CancelledError:
            if self.deaf:
                raise RedisTimeout("no answer") from None
            raise
        return []

    async def cancel(self, name: str, running: bool = False) -> bool:
        self.cancelled.append(name)
        await asyncio.sleep(0.05)
        return True


def dispatcher(queue: Queue) -> Dispatcher:
    return Dispatcher(queue, 100)  # type: ignore[arg-type]


def pending(name: str) -> Pending:
    limits = RunLimits(cpu_s=1, wall_s=1, memory_mb=64, output_bytes=10, output_chars=10)
    job = Job(name, "python", "", None, False, limits)
    found = Pending(job, "client", 1e12, None, 60, asyncio.get_running_loop().create_future())
    found.entry, found.sent = "1-1", 1.0
    return found


def test_it_ends_although_the_queue_swallows_the_cancellation():
    async def run() -> None:
        running = dispatcher(Queue(deaf=True))
        await running.start()
        await asyncio.sleep(0.05)
        await asyncio.wait_for(running.stop(), 20)

    asyncio.run(run())


def test_each_client_that_left_has_its_own_job_withdrawn():
    async def run() -> list[str]:
        queue = Queue()
        running = dispatcher(queue)
        await running.start()
        running._withdrawn.append(pending("first"))
        while not queue.cancelled:
            await asyncio.sleep(0.005)
        running._withdrawn.append(pending("second"))  # while the queue is told of the first
        while running._withdrawn:
            await asyncio.sleep(0.005)
        await running.stop()
        return queue.cancelled

    assert asyncio.run(asyncio.wait_for(run(), 30)) == ["first", "second"]
