"""The API's side of the queue: many requests wait, one reader receives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from code_judge.broker import Broker
from code_judge.jobs import Job, Outcome, Report

log = logging.getLogger(__name__)
_SWEEP_S = 1.0
_BACKOFF_MIN_S, _BACKOFF_MAX_S = 0.05, 1.0


class QueueFull(Exception):
    """More requests wait than the service accepts; try again later."""


@dataclass
class _Pending:
    job: Job
    state_ttl_s: int
    result_ttl_s: int
    report: asyncio.Future[Report]
    entry: str = ""
    waiters: int = 0
    missing: int = 0
    since: float = field(default_factory=time.monotonic)


class Dispatcher:
    """Submits jobs and hands each waiting request its report. Start and stop it inside one event loop."""

    def __init__(self, broker: Broker, max_pending: int) -> None:
        self._broker = broker
        self._max_pending = max_pending
        self._name = uuid.uuid4().hex
        self._pending: dict[str, _Pending] = {}
        self._admitted = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Raises RedisError when the queue cannot be reached."""
        await self._broker.ensure_group()
        self._tasks = [asyncio.create_task(self._forever(step)) for step in (self._read, self._sweep)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._broker.close()

    @contextlib.contextmanager
    def admit(self, count: int):
        """Hold room for `count` submissions. Raises QueueFull at once when there is none."""
        if self._admitted + count > self._max_pending:
            raise QueueFull(f"{self._admitted} submissions wait; the limit is {self._max_pending}")
        self._admitted += count
        try:
            yield
        finally:
            self._admitted -= count

    async def submit(self, job: Job, queue_life_s: float | None, wait_s: float, result_ttl_s: int) -> Report:
        """Run `job` (or join the same one) and wait for its report; infrastructure failures are reports too.

        `queue_life_s`: longest time in the queue, None for no such limit. `wait_s`: longest time in all.
        """
        deadline = time.monotonic() + wait_s
        pending = self._pending.get(job.id)
        if pending is None:
            future: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
            pending = _Pending(job, int(wait_s) + 60, result_ttl_s, future)
            self._pending[job.id] = pending
            try:
                await self._enqueue(pending)
            except RedisError as error:
                self._resolve(job.id, Report(Outcome.INFRA_ERROR, detail=f"queue: {type(error).__name__}: {error}"))
        pending.waiters += 1
        try:
            return await self._wait(pending, queue_life_s, deadline)
        finally:
            pending.waiters -= 1
            if pending.waiters == 0:
                self._pending.pop(job.id, None)

    async def _wait(self, pending: _Pending, queue_life_s: float | None, deadline: float) -> Report:
        if queue_life_s is not None:
            done, _ = await asyncio.wait([pending.report], timeout=queue_life_s)
            if not done and await self._take_back(pending):
                late = f"queue_timeout: no worker was free within {queue_life_s:g} s"
                self._resolve(pending.job.id, Report(Outcome.INFRA_ERROR, detail=late))
        done, _ = await asyncio.wait([pending.report], timeout=max(0.0, deadline - time.monotonic()))
        if done:
            return pending.report.result()
        await self._take_back(pending)
        return Report(Outcome.INFRA_ERROR, detail="queue_timeout: no result within the longest waiting time")

    async def _take_back(self, pending: _Pending) -> bool:
        try:
            return await self._broker.cancel(pending.job.id, pending.entry)
        except RedisError as error:
            log.warning("cannot cancel job %s: %s", pending.job.id, error)
            return False

    async def _enqueue(self, pending: _Pending) -> None:
        known = await self._broker.enqueue(pending.job, self._name, pending.state_ttl_s, pending.result_ttl_s)
        if isinstance(known, Report):
            self._resolve(pending.job.id, known)
        else:
            pending.entry = known

    def _resolve(self, job_id: str, report: Report) -> None:
        pending = self._pending.get(job_id)
        if pending is not None and not pending.report.done():
            pending.report.set_result(report)

    async def _read(self) -> None:
        for job_id, report in await self._broker.replies(self._name, block_s=1.0):
            self._resolve(job_id, report)

    async def _sweep(self) -> None:
        """Find results whose message was lost, and resubmit jobs that the queue server forgot."""
        await asyncio.sleep(_SWEEP_S)
        old = time.monotonic() - _SWEEP_S
        waiting = [p for p in self._pending.values() if p.entry and p.since < old and not p.report.done()]
        if not waiting:
            return
        for pending, state in zip(waiting, await self._broker.states([p.job.id for p in waiting]), strict=True):
            if isinstance(state, Report):
                self._resolve(pending.job.id, state)
                continue
            # A report that is not kept also removes the state, moments before its message arrives.
            pending.missing = pending.missing + 1 if state is None else 0
            if pending.missing >= 2 and not pending.report.done():
                log.warning("the queue lost job %s; submitting it again", pending.job.id)
                await self._broker.ensure_group()
                await self._enqueue(pending)

    async def _forever(self, step) -> None:
        delay = _BACKOFF_MIN_S
        while True:
            try:
                await step()
                delay = _BACKOFF_MIN_S
            except (RedisError, OSError) as error:
                log.warning("queue error in %s: %s; again in %.2f s", step.__name__, error, delay)
                await asyncio.sleep(delay)
                delay = min(2 * delay, _BACKOFF_MAX_S)
