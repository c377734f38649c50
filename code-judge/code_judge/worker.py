"""Starts a worker process: finds the best isolation, prepares its slots, serves the queue."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from code_judge.broker import Broker, connect
from code_judge.executor import BadCommand, Executor, build_cache
from code_judge.languages import Compiler
from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.host import Host, remove_tree
from code_judge.sandbox.interpreter import Interpreter
from code_judge.sandbox.probe import TooWeak, choose
from code_judge.sandbox.slot import SlotLost
from code_judge.sandbox.syscalls import become_subreaper
from code_judge.session_desk import SessionDesk
from code_judge.settings import Settings
from code_judge.slots import SlotPool
from code_judge.supervisor import Supervisor, worker_name

log = logging.getLogger(__name__)
UNSAFE_EXIT = 78
"""Exit status of a worker that refuses to start (EX_CONFIG)."""


@dataclass(frozen=True)
class WorkerConfig:
    """`run_dir` holds the work directories. `token` makes the worker's name in the queue unique.

    `replaces` is the name of a worker that has ended, '' for none.
    """

    queue_url: str
    slots: int
    settings: Settings
    run_dir: Path
    token: str
    replaces: str = ""


def _interpreter(python: str) -> Interpreter:
    try:
        return Interpreter.ask(python)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise BadCommand(f"PYTHON_EXECUTOR_PATH: {python} cannot run programs: {error}") from None


async def _serve(config: WorkerConfig, base_dir: Path) -> None:
    settings = config.settings
    host = Host(_interpreter(settings.python), base_dir, CgroupHome.find())
    means, isolation = await choose(host, settings.min_isolation, settings.max_isolation)
    isolation = replace(isolation, cold=settings.commands.cold)
    log.warning("isolation of runs: %s; %s", isolation.label, isolation.parts())
    slots = SlotPool(host, means, config.slots)
    broker = Broker(connect(config.queue_url), settings.key_prefix)
    compiler = Compiler.find(settings.cxx, settings.commands.cpp_compile)
    executor = Executor(slots, isolation, compiler, build_cache(config.run_dir), settings.commands)
    desk = SessionDesk(slots, settings.max_sessions, asyncio.Semaphore(config.slots))
    name = worker_name(os.getpid(), config.token)
    supervisor = Supervisor(broker, executor, desk, config.slots, settings.lease_s, name, config.replaces)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    try:
        await slots.prepare()
        await executor.check_commands()
        supervisor.executor = await executor.with_tried_compiler()
        await broker.ensure_group()
        await supervisor.serve()
    finally:
        slots.close()
        await broker.close()


def run_worker(config: WorkerConfig) -> None:
    """Probe which isolation holds here, then work until SIGTERM or SIGINT. Blocks.

    Exits with UNSAFE_EXIT when less than the demanded isolation holds, or a command template does not work.
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
    except BadCommand as error:
        log.error("%s", error)
        raise SystemExit(UNSAFE_EXIT) from None
    except (SlotLost, OSError) as error:
        log.error("the worker could not start: %s", error)
        raise SystemExit(1) from None
    finally:
        remove_tree(base_dir)
