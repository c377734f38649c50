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

from code_judge.broker import Broker, Delivery, connect
from code_judge.executor import Executor, build_cache
from code_judge.jobs import Job, Outcome, Report
from code_judge.languages import Compiler
from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.host import Host, remove_tree
from code_judge.sandbox.interpreter import Interpreter
from code_judge.sandbox.probe import TooWeak, choose
from code_judge.sandbox.slot import SlotLost
from code_judge.sandbox.syscalls import become_subreaper
from code_judge.settings import Settings
from code_judge.slots import SlotPool

log = logging.getLogger(__name__)
MAX_DELIVERIES = 3
UNSAFE_EXIT = 78
"""Exit status of a worker that refuses to start (EX_CONFIG)."""
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

    def __init__(self, broker: Broker, executor: Executor, slots: int, lease_s: float) -> None:
        self._broker = broker
        self._executor = executor
        self._slots = slots
        self._free = slots
        self._running: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Event()
        self._stopping = asyncio.Event()
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._lease_s = lease_s

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
        for delivery in await self._broker.lease(self._name, self._free, _LEASE_BLOCK_MS):
            self._begin(delivery)

    async def _take_over(self) -> None:
        await asyncio.sleep(self._lease_s / 8)
        if self._free:
            for delivery in await self._broker.take_over(self._name, self._lease_s, self._free):
                if delivery.entry not in self._running:
                    log.warning("taking over entry %s, whose lease ran out", delivery.entry)
                    self._begin(delivery)

    async def _heartbeat(self) -> None:
        facts: dict[str, int | str] = {"pid": os.getpid(), "slots": self._slots, "busy": len(self._running)}
        facts["isolation"] = self._executor.isolation.label
        facts["level"] = self._executor.isolation.level.name
        await self._broker.announce(self._name, facts, self._lease_s)
        await self._broker.renew(self._name, list(self._running))
        await asyncio.sleep(self._lease_s / 4)

    def _begin(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._work(delivery))
        self._running[delivery.entry] = task

    async def _work(self, delivery: Delivery) -> None:
        await self._room_for_one()
        try:
            job_id, report = await self._report(delivery)
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
            self._free += 1
            self._room.set()

    async def _room_for_one(self) -> None:
        while not self._free:
            self._room.clear()
            await self._room.wait()
        self._free -= 1

    async def _report(self, delivery: Delivery) -> tuple[str, Report]:
        try:
            job = Job.loads(delivery.payload)
        except (ValueError, TypeError, KeyError) as error:
            log.error("entry %s is not a job: %s", delivery.entry, error)
            return delivery.state.rpartition(":")[2], Report(Outcome.REJECTED, detail=f"unreadable job: {error}")
        if await self._broker.deliveries(delivery.entry) > MAX_DELIVERIES:
            detail = f"crash_loop: {MAX_DELIVERIES} workers were lost while they ran this job"
            return job.id, Report(Outcome.INFRA_ERROR, detail=detail)
        return job.id, await self._executor.execute(job)


async def _serve(config: WorkerConfig, base_dir: Path) -> None:
    settings = config.settings
    host = Host(Interpreter.ask(settings.python), base_dir, CgroupHome.find())
    means, isolation = await choose(host, settings.min_isolation, settings.max_isolation)
    log.warning("isolation of runs: %s; %s", isolation.label, isolation.parts())
    slots = SlotPool(host, means, config.slots)
    broker = Broker(connect(config.queue_url, max_connections=config.slots + 8), settings.key_prefix)
    executor = Executor(slots, isolation, Compiler.find(settings.cxx), build_cache(config.run_dir or base_dir))
    supervisor = Supervisor(broker, executor, config.slots, settings.lease_s)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    try:
        await slots.prepare()
        await broker.ensure_group()
        await supervisor.serve()
    finally:
        slots.close()
        await broker.close()


def run_supervisor(config: WorkerConfig) -> None:
    """Probe which isolation holds here, then work until SIGTERM or SIGINT. Blocks.

    Exits with UNSAFE_EXIT when less than the demanded isolation holds.
    """
    become_subreaper()
    base_dir = Path(tempfile.mkdtemp(prefix=f"judge-{os.getpid()}-", dir=config.run_dir))
    base_dir.chmod(0o711)
    try:
        asyncio.run(_serve(config, base_dir))
    except TooWeak as error:
        wanted = config.settings.min_isolation.name
        log.error(
            "isolation %s does not hold on this machine: %s. To run programs with less, say so: "
            "`--allow-unsafe`, or CODE_JUDGE_MIN_ISOLATION=L0", wanted, error,
        )  # fmt: skip
        raise SystemExit(UNSAFE_EXIT) from None
    except (SlotLost, OSError) as error:
        log.error("the worker could not start: %s", error)
        raise SystemExit(1) from None
    finally:
        remove_tree(base_dir)
