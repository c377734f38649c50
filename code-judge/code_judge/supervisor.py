"""A worker process: leases jobs for its slots, runs them, reports, renews leases while they run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from redis.exceptions import RedisError

from code_judge.broker import END_RUN, Broker, Delivery, Result
from code_judge.executor import Executor
from code_judge.jobs import Job, Outcome, Report
from code_judge.session_desk import SessionDesk

log = logging.getLogger(__name__)
MAX_DELIVERIES = 2
_LEASE_BLOCK_MS = 500
_BACKOFF_MIN_S, _BACKOFF_MAX_S = 0.05, 1.0
_AHEAD_S = 0.02
"""So much work is leased ahead of each slot: enough to hide the way to the queue, too little to starve others."""
_MAX_AHEAD = 8
_STALL_S = 0.03
_MAX_SENDS, _SMALL = 5, 1 << 20
"""After so many tries on a server that answers, the largest result is given up, unless it has fewer bytes."""
_GATHER_S, _GATHERED = 0.01, 8
"""While more work waits, results wait so long for others to share a trip, or until there are so many."""


def worker_name(pid: int, token: str) -> str:
    """How a worker process is called in the queue; `token` tells it from those of other hosts."""
    return f"{pid}-{token}"


@dataclass
class Supervisor:
    """One process with `slots` concurrent runs."""

    broker: Broker
    executor: Executor
    desk: SessionDesk
    slots: int
    lease_s: float
    name: str
    replaces: str = ""
    """A worker that is known to have ended: what it held is taken over at once."""
    runs: int = 0
    _backlog: deque[Delivery] = field(default_factory=deque)
    _held: dict[str, Delivery] = field(default_factory=dict)
    _done: list[Result] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _work_there: asyncio.Event = field(default_factory=asyncio.Event)
    _results_there: asyncio.Event = field(default_factory=asyncio.Event)
    _trip_due: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _typical_s: float = 1.0
    _refusals: int = 0
    """How often in a row a queue server that answers did not take the results."""
    _runs: dict[str, asyncio.Task[Report]] = field(default_factory=dict)
    """By job."""
    _unwanted: set[str] = field(default_factory=set)
    """Jobs whose run was ended since nobody waits for them."""
    _errands: set[asyncio.Task[None]] = field(default_factory=set)
    _long: set[str] = field(default_factory=set)
    """Entries whose run is beyond _STALL_S."""

    async def serve(self) -> None:
        """Work until `stop`; running programs are then killed and their jobs left to other workers."""
        await self._inherit()
        steps = [self._fetch, self._deliver, self._take_over, self._heartbeat, self._answer_calls]
        loops = [asyncio.create_task(self._forever(step)) for step in [*steps, *[self._work] * self.slots]]
        await self._stopping.wait()
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await self.desk.close()
        with contextlib.suppress(RedisError, OSError):  # its leases end by themselves
            await self._leave()

    async def _leave(self) -> None:
        if self._done:
            await self.broker.finish(self._done)
        done = {result.delivery.entry for result in self._done}
        left = [delivery for entry, delivery in self._held.items() if entry not in done]
        if left:
            await self.broker.give_back(left)
        await self.broker.withdraw(self.name)

    def stop(self) -> None:
        self._stopping.set()

    async def _forever(self, step: Callable[[], Awaitable[None]]) -> None:
        """Until `stop`: a cancellation alone may be lost where it meets a timeout inside redis-py."""
        delay = _BACKOFF_MIN_S
        while not self._stopping.is_set():
            try:
                await step()
                delay = _BACKOFF_MIN_S
            except (RedisError, OSError) as error:
                log.warning("queue error: %s; again in %.2f s", error, delay)
                await asyncio.sleep(delay)
                delay = min(2 * delay, _BACKOFF_MAX_S)
                if "NOGROUP" in str(error):
                    with contextlib.suppress(RedisError, OSError):  # the next round tries again
                        await self.broker.ensure_group()

    async def _fetch(self) -> None:
        ahead = min(_MAX_AHEAD, int(_AHEAD_S / self._typical_s)) * self.slots
        while len(self._held) >= self.slots + ahead // 2:
            self._changed.clear()
            await self._changed.wait()
        # The blocking call may not be cut short by the socket's own timeout, nor outlive the heartbeat by much.
        count = self.slots + ahead - len(self._held)
        for delivery in await self.broker.lease(self.name, count, _LEASE_BLOCK_MS):
            self._take(delivery)
        if len(self._long) >= self.slots:  # they came to a call that began before the long runs did
            self._give_back()

    async def _take_over(self) -> None:
        await asyncio.sleep(self.lease_s / 8)
        # Also when there is more work than slots: these have waited longest.
        if len(self._held) < 2 * self.slots + _MAX_AHEAD:
            await self._take_again(await self.broker.take_over(self.name, self.lease_s, self.slots))

    async def _inherit(self) -> None:
        if self.replaces:
            with contextlib.suppress(RedisError, OSError):  # its leases end by themselves
                await self._take_again(await self.broker.inherit(self.name, self.replaces))

    async def _take_again(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.entry in self._held:
                continue
            if await self.broker.deliveries(delivery.entry) > MAX_DELIVERIES:
                detail = f"crash_loop: {MAX_DELIVERIES} workers were lost while they held this job"
                self._finish(delivery, _job_id(delivery), Report(Outcome.INFRA_ERROR, detail=detail))
            else:
                log.warning("taking over entry %s, which another worker held", delivery.entry)
                self._take(delivery, first=True)

    def _take(self, delivery: Delivery, first: bool = False) -> None:
        self._held[delivery.entry] = delivery
        if first:
            self._backlog.appendleft(delivery)
        else:
            self._backlog.append(delivery)
        self._work_there.set()

    async def _heartbeat(self) -> None:
        await self.desk.expire()
        self.executor.slots.trim()
        facts: dict[str, Any] = {
            "name": self.name, "pid": os.getpid(), "slots": self.slots, "busy": len(self._held) - len(self._backlog),
            "isolation": self.executor.isolation.label, "level": self.executor.isolation.level.name,
            "parts": self.executor.isolation.parts(), "runs": self.runs, "sessions": self.desk.count,
            "slots_started": self.executor.slots.restarts, "slots_lost": self.executor.slots.lost,
        }  # fmt: skip
        await self.broker.announce(self.name, facts, self.lease_s)
        await self.broker.renew(self.name, list(self._held))
        await asyncio.sleep(self.lease_s / 4)

    async def _work(self) -> None:
        """One job of the backlog; as many of these loops run as there are slots."""
        while not self._backlog:
            self._work_there.clear()
            await self._work_there.wait()
        delivery = self._backlog.popleft()
        stall = asyncio.get_running_loop().call_later(_STALL_S, self._stalled, delivery)
        begun = time.monotonic()
        try:
            job_id, report = await self._report(delivery)
        except Exception:
            # The lease is no longer renewed: another attempt follows, then quarantine.
            log.exception("entry %s failed in the supervisor", delivery.entry)
            self._held.pop(delivery.entry, None)
            self._changed.set()
            return
        finally:
            stall.cancel()
            self._long.discard(delivery.entry)
        self.runs += 1
        self._typical_s = 0.8 * self._typical_s + 0.2 * (time.monotonic() - begun)
        self._finish(delivery, job_id, report)

    def _stalled(self, delivery: Delivery) -> None:
        self._long.add(delivery.entry)
        self._typical_s = max(self._typical_s, _STALL_S)
        self._give_back()

    def _give_back(self) -> None:
        """What was leased ahead of a long run may be done sooner by another worker."""
        waiting = [self._backlog.popleft() for _ in range(len(self._backlog))]
        if waiting:
            self._do_soon(self._return(waiting))

    async def _return(self, waiting: list[Delivery]) -> None:
        try:
            await self.broker.give_back(waiting)
        except (RedisError, OSError) as error:
            log.warning("cannot give %d jobs back, so they wait here: %s", len(waiting), error)
            self._backlog.extend(waiting)
            self._work_there.set()
            return
        for delivery in waiting:
            self._held.pop(delivery.entry, None)
        self._changed.set()

    def _finish(self, delivery: Delivery, job_id: str, report: Report) -> None:
        self._done.append(Result(delivery, job_id, report, keep=report.outcome is not Outcome.INFRA_ERROR))
        self._results_there.set()
        if not self._backlog or len(self._done) >= _GATHERED:
            self._trip_due.set()

    async def _deliver(self) -> None:
        await self._results_there.wait()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._trip_due.wait(), _GATHER_S)
        self._results_there.clear()
        self._trip_due.clear()
        results, self._done = self._done, []
        try:
            await self.broker.finish(results)
        except (RedisError, OSError) as error:
            self._done = await self._sendable(results, error) + self._done
            self._results_there.set()
            raise
        self._refusals = 0
        for result in results:
            self._held.pop(result.delivery.entry, None)
        self._changed.set()

    async def _sendable(self, results: list[Result], error: Exception) -> list[Result]:
        """What to send next time: a result that the queue server never takes must not hold up the others for ever."""
        self._refusals += await self.broker.answers()
        if self._refusals < _MAX_SENDS:
            return results
        self._refusals = 0
        sizes = [len(result.report.dumps()) for result in results]
        index = sizes.index(max(sizes))
        if sizes[index] < _SMALL:
            return results
        detail = f"worker: a result of {sizes[index]} bytes could not be sent: {type(error).__name__}"
        log.error("entry %s: %s", results[index].delivery.entry, detail)
        instead = replace(results[index], report=Report(Outcome.INFRA_ERROR, detail=detail), keep=False)
        return [*results[:index], instead, *results[index + 1 :]]

    async def _report(self, delivery: Delivery) -> tuple[str, Report]:
        try:
            job = Job.loads(delivery.payload)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.error("entry %s is not a job: %s", delivery.entry, error)
            return _job_id(delivery), Report(Outcome.REJECTED, detail=f"unreadable job: {error}")
        run = self._runs[job.id] = asyncio.ensure_future(self.executor.execute(job))
        try:
            return job.id, await run
        except asyncio.CancelledError:
            if job.id not in self._unwanted:
                raise
            return job.id, Report(Outcome.INFRA_ERROR, detail="cancelled: nobody waits for it")
        finally:
            self._unwanted.discard(job.id)
            del self._runs[job.id]

    async def _answer_calls(self) -> None:
        for message in await self.broker.calls(self.name, block_s=1.0):
            if message["op"] == END_RUN:
                self._end_run(message["job"])
            else:
                self._do_soon(self._answer(message))

    def _end_run(self, job_id: str) -> None:
        if job_id in self._runs:
            self._unwanted.add(job_id)
            self._runs[job_id].cancel()

    def _do_soon(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(errand)
        self._errands.add(task)  # the event loop itself keeps none
        task.add_done_callback(self._errands.discard)

    async def _answer(self, message: dict[str, Any]) -> None:
        said = await self.desk.handle(message)
        try:
            await self.broker.reply(message["reply"], message["id"], said)
        except (RedisError, OSError) as error:
            log.warning("cannot answer a session's call: %s", error)


def _job_id(delivery: Delivery) -> str:
    return delivery.state.rpartition(":")[2]
