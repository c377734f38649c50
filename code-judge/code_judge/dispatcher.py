"""The API's side of the queue: many requests wait, one loop sends their jobs, one reader receives.

Jobs wait here, by client, and only so many are on the queue server at a time: clients take turns whatever one of them
has sent before, and a job whose client left or whose time is over never starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from code_judge.broker import Broker, Entry, QueueStatus, Refused
from code_judge.jobs import Job, Outcome, Report

log = logging.getLogger(__name__)
_SWEEP_S = 0.25
_LOST_S = 1.0
_BACKOFF_MIN_S, _BACKOFF_MAX_S = 0.05, 1.0
_GRACE_S = 2.0
"""A run that nobody waits for goes on so long: a client that lost its connection asks again."""
_TRIP = 128
_MIN_WINDOW, _WINDOW_PER_SLOT = 32, 8


class QueueFull(Exception):
    """More submissions wait than the service accepts; try again later."""


class OtherContent(ValueError):
    """The idempotency key was used with another content."""


@dataclass
class Pending:
    """A job that somebody waits for. Times by this process's monotonic clock."""

    job: Job
    client: str
    deadline: float
    life_s: float | None
    """Longest time on the queue server before a worker takes it."""
    result_ttl_s: int
    report: asyncio.Future[Report]
    name: str = ""
    waiters: int = 0
    entry: str = ""
    sent: float = 0.0
    missing: int = 0

    @property
    def state_ttl_s(self) -> int:
        return int(self.deadline - time.monotonic()) + 60


class FairQueue:
    """First in, first out for each client; clients take turns."""

    def __init__(self) -> None:
        self._rows: dict[str, deque[Pending]] = {}

    def put(self, pending: Pending, first: bool = False) -> None:
        row = self._rows.setdefault(pending.client, deque())
        if first:
            row.appendleft(pending)
        else:
            row.append(pending)

    def take(self, count: int) -> list[Pending]:
        """Up to `count` of those that still wait for a report."""
        taken: list[Pending] = []
        while self._rows and len(taken) < count:
            client = next(iter(self._rows))
            row = self._rows.pop(client)
            pending = row.popleft()
            if row:
                self._rows[client] = row  # to the end of the line
            if not pending.report.done():
                taken.append(pending)
        return taken

    def __bool__(self) -> bool:
        return bool(self._rows)

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))


class Dispatcher:
    """Submits jobs and hands each waiting request its report. Start and stop it inside one event loop."""

    def __init__(self, broker: Broker, max_pending: int) -> None:
        self.broker = broker
        self.status = QueueStatus()
        """As it was at the last look, at most a second ago while the queue answers."""
        self._max_pending = max_pending
        self._name = uuid.uuid4().hex
        self._pending: dict[str, Pending] = {}
        self._calls: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._waiting = FairQueue()
        self._sent = 0
        self._wake = asyncio.Event()
        self._withdrawn: deque[Pending] = deque()
        self._running_on: deque[tuple[float, Pending]] = deque()
        self._admitted = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def admitted(self) -> int:
        """Submissions that are being answered."""
        return self._admitted

    @property
    def waiting(self) -> int:
        """Jobs that are not on the queue server yet."""
        return len(self._waiting)

    async def start(self) -> None:
        """Raises RedisError when the queue cannot be reached."""
        await self.broker.ensure_group()
        steps = (self._send, self._read, self._sweep, self._look)
        self._tasks = [asyncio.create_task(self._forever(step)) for step in steps]

    async def stop(self) -> None:
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.broker.close()

    @contextlib.contextmanager
    def admit(self, count: int) -> Iterator[None]:
        """Hold room for `count` submissions. Raises QueueFull at once when there is none."""
        if self._admitted + count > self._max_pending:
            raise QueueFull(f"{self._admitted} submissions wait; the limit is {self._max_pending}")
        self._admitted += count
        try:
            yield
        finally:
            self._admitted -= count

    async def submit(
        self, job: Job, client: str, wait_s: float, life_s: float | None, result_ttl_s: int, name: str = ""
    ) -> Report:
        """Run `job` (or join the same one) and wait for its report; infrastructure failures are reports too.

        `wait_s`: longest time in all. `life_s`: longest time on the queue server without a worker, None for no such
        limit. `name`: an idempotency key. When nobody waits any more, the job is withdrawn, and soon ended if it runs.
        Raises OtherContent.
        """
        pending = self._pending.get(job.id)
        if pending is None:
            future: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
            pending = Pending(job, client, time.monotonic() + wait_s, life_s, result_ttl_s, future, name)
            self._pending[job.id] = pending
            self._waiting.put(pending)
            self._wake.set()
        pending.deadline = max(pending.deadline, time.monotonic() + wait_s)
        pending.waiters += 1
        try:
            return await asyncio.shield(pending.report)
        finally:
            pending.waiters -= 1
            if pending.waiters == 0 and not pending.report.done():
                self._withdraw(pending)

    def _withdraw(self, pending: Pending) -> None:
        self._withdrawn.append(pending)
        self._resolve(pending, Report(Outcome.INFRA_ERROR, detail="cancelled: nobody waits for it"))

    def _resolve(self, pending: Pending, report: Report | OtherContent) -> None:
        if self._pending.get(pending.job.id) is pending:
            del self._pending[pending.job.id]
        if not pending.report.done():
            if isinstance(report, Report):
                pending.report.set_result(report)
            else:
                pending.report.set_exception(report)
            if pending.sent:
                self._sent -= 1
                self._wake.set()

    async def _send(self) -> None:
        """One trip: as many jobs as the window has room for, clients in turn."""
        await self._wake.wait()
        self._wake.clear()
        window = max(_MIN_WINDOW, _WINDOW_PER_SLOT * self.status.slots)
        room = window - self._sent
        if room < window // 4 and len(self._waiting) > room:
            return  # the next report wakes this again, and one trip carries more
        batch = self._waiting.take(min(_TRIP, room))
        if not batch:
            return
        now = time.monotonic()
        for pending in batch:
            pending.sent = now
        self._sent += len(batch)
        try:
            answers = await self.broker.enqueue(
                [Entry(one.job, one.state_ttl_s, one.result_ttl_s, one.name) for one in batch], self._name
            )
        except (RedisError, OSError):
            self._put_back(batch)
            raise
        full = []
        for pending, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Report):
                self._resolve(pending, answer)
            elif answer is Refused.FULL:
                full.append(pending)
            elif answer is Refused.OTHER_CONTENT:
                self._resolve(pending, OtherContent(f"sub_id {pending.name!r} was used with another content"))
            else:
                pending.entry = answer
                if pending.report.done():  # given up during the trip
                    self._withdrawn.append(pending)
        self._put_back(full)
        if full:
            await asyncio.sleep(_BACKOFF_MIN_S)
        if self._waiting:
            self._wake.set()

    def _put_back(self, batch: list[Pending]) -> None:
        for pending in reversed(batch):
            if not pending.report.done():
                pending.sent = 0.0
                self._sent -= 1
                self._waiting.put(pending, first=True)
                self._wake.set()

    async def _read(self) -> None:
        for name, said in await self.broker.replies(self._name, block_s=1.0):
            pending = self._pending.get(name)
            if pending is not None:
                self._resolve(pending, Report.loads(said))
            elif (call := self._calls.pop(name, None)) is not None and not call.done():
                call.set_result(json.loads(said))

    async def call(self, supervisor: str, message: dict[str, Any], wait_s: float) -> dict[str, Any]:
        """Ask one supervisor, at most once. Raises TimeoutError, and RedisError when it could not be asked."""
        name = uuid.uuid4().hex
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._calls[name] = future
        try:
            await self.broker.call(supervisor, {**message, "id": name, "reply": self.broker.reply_key(self._name)})
            return await asyncio.wait_for(future, wait_s)
        except asyncio.TimeoutError:
            raise TimeoutError(f"no answer within {wait_s:g} s") from None
        finally:
            self._calls.pop(name, None)

    async def look(self) -> None:
        """Bring `status` up to date. Raises RedisError."""
        self.status = await self.broker.status()
        self._wake.set()

    async def _look(self) -> None:
        await self.look()
        await asyncio.sleep(_LOST_S)

    async def _sweep(self) -> None:
        """End what is over, withdraw what nobody waits for, find what the queue server lost."""
        await asyncio.sleep(_SWEEP_S)
        now = time.monotonic()
        for pending in list(self._pending.values()):
            if now > pending.deadline:
                self._withdrawn.append(pending)
                late = "queue_timeout: no result within the longest waiting time"
                self._resolve(pending, Report(Outcome.INFRA_ERROR, detail=late))
        while self._withdrawn:
            pending = self._withdrawn[0]
            if pending.entry and not await self.broker.cancel(pending.job.id):
                self._running_on.append((now + _GRACE_S, pending))
            self._withdrawn.popleft()  # meanwhile others may have come behind it
        while self._running_on and self._running_on[0][0] <= now:
            name = self._running_on[0][1].job.id
            if name not in self._pending:
                await self.broker.cancel(name, running=True)
            self._running_on.popleft()
        sent = [one for one in self._pending.values() if one.entry and now - one.sent > _LOST_S]
        if sent:
            await self._look_after(sent, now)

    async def _look_after(self, sent: list[Pending], now: float) -> None:
        for pending, state in zip(sent, await self.broker.states([one.job.id for one in sent]), strict=True):
            if pending.report.done():
                continue
            if isinstance(state, Report):  # its message was lost
                self._resolve(pending, state)
            elif state is None:
                # A report that is not kept also removes the state, moments before its message arrives.
                pending.missing += 1
                if pending.missing >= 3:
                    log.warning("the queue lost job %s; submitting it again", pending.job.id)
                    await self.broker.ensure_group()
                    pending.entry, pending.missing = "", 0
                    self._put_back([pending])
            elif pending.life_s is not None and now - pending.sent > pending.life_s:
                if await self.broker.cancel(pending.job.id):
                    late = f"queue_timeout: no worker was free within {pending.life_s:g} s"
                    self._resolve(pending, Report(Outcome.INFRA_ERROR, detail=late))
                else:
                    pending.life_s = None  # it is running

    async def _forever(self, step) -> None:
        """Until `stop`: a cancellation alone may be lost where it meets a timeout inside redis-py."""
        delay = _BACKOFF_MIN_S
        while not self._stopping:
            try:
                await step()
                delay = _BACKOFF_MIN_S
            except (RedisError, OSError) as error:
                log.warning("queue error in %s: %s; again in %.2f s", step.__name__, error, delay)
                await asyncio.sleep(delay)
                delay = min(2 * delay, _BACKOFF_MAX_S)
                if "NOGROUP" in str(error):
                    with contextlib.suppress(RedisError, OSError):  # the next round tries again
                        await self.broker.ensure_group()
