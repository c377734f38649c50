"""A worker process: leases jobs for its slots, runs them, reports, renews leases while they run."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from redis.exceptions import RedisError

from code_judge import syscalls
from code_judge.broker import Broker, Delivery, connect
from code_judge.executor import Executor, remove_tree
from code_judge.isolation import Capabilities, probe, slot_uid
from code_judge.jobs import Job, Outcome, Report
from code_judge.processes import ProcessTable
from code_judge.settings import Settings

log = logging.getLogger(__name__)
MAX_DELIVERIES = 3
_LEASE_BLOCK_MS = 500
_BACKOFF_MIN_S, _BACKOFF_MAX_S = 0.05, 1.0


@dataclass(frozen=True)
class WorkerConfig:
    """`run_dir` holds the work directories; a private temporary one when None."""

    queue_url: str
    slots: int
    settings: Settings
    run_dir: Path | None = None


class Supervisor:
    """One process with `slots` concurrent runs."""

    def __init__(self, broker: Broker, executor: Executor, slots: int) -> None:
        self._broker = broker
        self._executor = executor
        self._slots = slots
        self._free = list(range(slots))
        self._running: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Event()
        self._stopping = asyncio.Event()
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._lease_s = executor.settings.lease_s

    async def serve(self) -> None:
        """Work until `stop`; running programs are then killed and their jobs left to other workers."""
        loops = [asyncio.create_task(self._forever(step)) for step in (self._fetch, self._take_over, self._heartbeat)]
        await self._stopping.wait()
        tasks = [*loops, *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._broker.withdraw(self._name)
        except RedisError as error:
            log.warning("cannot withdraw: %s", error)

    def stop(self) -> None:
        self._stopping.set()

    async def _forever(self, step: Callable[[], Awaitable[None]]) -> None:
        delay = _BACKOFF_MIN_S
        while True:
            try:
                await step()
                delay = _BACKOFF_MIN_S
            except (RedisError, OSError) as error:
                log.warning("queue error: %s; again in %.2f s", error, delay)
                await asyncio.sleep(delay)
                delay = min(2 * delay, _BACKOFF_MAX_S)
                if "NOGROUP" in str(error):
                    await self._broker.ensure_group()

    async def _fetch(self) -> None:
        while not self._free:
            self._room.clear()
            await self._room.wait()
        # The blocking call may not be cut short by the socket's own timeout, nor outlive the heartbeat by much.
        for delivery in await self._broker.lease(self._name, len(self._free), _LEASE_BLOCK_MS):
            self._begin(delivery)

    async def _take_over(self) -> None:
        await asyncio.sleep(self._lease_s / 8)
        if self._free:
            for delivery in await self._broker.take_over(self._name, self._lease_s, len(self._free)):
                if delivery.entry not in self._running:
                    log.warning("taking over entry %s, whose lease ran out", delivery.entry)
                    self._begin(delivery)

    async def _heartbeat(self) -> None:
        facts: dict[str, int | str] = {"pid": os.getpid(), "slots": self._slots, "busy": len(self._running)}
        facts["isolation"] = self._executor.capabilities.label
        await self._broker.announce(self._name, facts, self._lease_s)
        await self._broker.renew(self._name, list(self._running))
        await asyncio.sleep(self._lease_s / 4)

    def _begin(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._work(delivery))
        self._running[delivery.entry] = task

    async def _work(self, delivery: Delivery) -> None:
        slot = await self._slot()
        try:
            job_id, report = await self._report(delivery, slot)
            kept = report.outcome is not Outcome.INFRA_ERROR
            while True:
                try:
                    await self._broker.finish(delivery, job_id, report, kept)
                    return
                except RedisError as error:
                    log.warning("cannot deliver the result of %s: %s", job_id, error)
                    await asyncio.sleep(_BACKOFF_MAX_S)
        except asyncio.CancelledError:
            raise
        except Exception:
            # The lease is no longer renewed: another attempt follows, then quarantine.
            log.exception("entry %s failed in the supervisor", delivery.entry)
        finally:
            self._running.pop(delivery.entry, None)
            self._free.append(slot)
            self._room.set()

    async def _slot(self) -> int:
        while not self._free:
            self._room.clear()
            await self._room.wait()
        return self._free.pop()

    async def _report(self, delivery: Delivery, slot: int) -> tuple[str, Report]:
        try:
            job = Job.loads(delivery.payload)
        except (ValueError, TypeError, KeyError) as error:
            log.error("entry %s is not a job: %s", delivery.entry, error)
            return delivery.state.rpartition(":")[2], Report(Outcome.REJECTED, detail=f"unreadable job: {error}")
        if await self._broker.deliveries(delivery.entry) > MAX_DELIVERIES:
            detail = f"crash_loop: {MAX_DELIVERIES} workers were lost while they ran this job"
            return job.id, Report(Outcome.INFRA_ERROR, detail=detail)
        uid = slot_uid(os.getpid(), slot, self._slots)
        return job.id, await self._executor.execute(job, uid)


async def _serve(config: WorkerConfig, capabilities: Capabilities, network_fd: int | None, base_dir: Path) -> None:
    broker = Broker(connect(config.queue_url, max_connections=config.slots + 8), config.settings.key_prefix)
    executor = Executor(config.settings, capabilities, network_fd, base_dir, ProcessTable())
    supervisor = Supervisor(broker, executor, config.slots)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    await broker.ensure_group()
    try:
        await supervisor.serve()
    finally:
        await broker.close()


def run_supervisor(config: WorkerConfig) -> None:
    """Probe what confinement holds here, then work until SIGTERM or SIGINT. Blocks."""
    syscalls.become_subreaper()
    base_dir = Path(tempfile.mkdtemp(prefix=f"judge-{os.getpid()}-", dir=config.run_dir))
    base_dir.chmod(0o711)
    try:
        keep = [config.run_dir] if config.run_dir else []
        uid = slot_uid(os.getpid(), 0, config.slots)
        capabilities, network_fd = probe(config.settings.python, base_dir, uid, keep)
        log.warning("isolation of runs: %s", capabilities.label)
        asyncio.run(_serve(config, capabilities, network_fd, base_dir))
    finally:
        remove_tree(base_dir)
