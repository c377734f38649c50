"""Shell sandboxes on this machine, in the judge's confinement: namespaces, a private root, seccomp, limits.

One warm slot of `code_judge` for each sandbox: the files stay from command to command, and every process is ended with
its command. A command sees the repository, the system's programs, the standard library and the packages its task names;
no network, no other process, no other file of this machine.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from cleartrace.tools.shell.config import ShellConfig
from cleartrace.tools.shell.runtime import CommandResult, SandboxLost, status_of
from cleartrace.tools.shell.snapshot import BadRepository, packed
from cleartrace.tools.shell.task import ShellTask
from cleartrace.tools.shell.visible import NotVisible, Visible, visible

if TYPE_CHECKING:
    from code_judge.sandbox.host import Host, Means
    from code_judge.sandbox.slot import Finished, Slot, SlotLimits

OUTPUT_BYTES = 8 << 20
"""A command that writes more is stopped; the first part is kept."""
_FILE_BYTES = 64 << 20
_OPEN_FILES = 512


class LocalRuntime:
    """Makes sandboxes for tasks with a repository folder. Belongs to the running event loop.

    Raises SandboxLost from `open` when no confinement of `config.min_level` holds here: nothing runs with less.
    """

    def __init__(self, config: ShellConfig) -> None:
        self._config = config
        self._room = asyncio.Semaphore(config.at_once)
        self._choosing = asyncio.Lock()

    async def open(self, task: ShellTask) -> LocalSandbox:
        """A sandbox with the repository of `task` in it. Raises SandboxLost."""
        await self._room.acquire()
        try:
            return await self._open(task)
        except BaseException:
            self._room.release()
            raise

    async def _open(self, task: ShellTask) -> LocalSandbox:
        try:
            archive = await asyncio.to_thread(packed, task.repository)
            shown = _shown(task.packages)
        except (BadRepository, NotVisible) as error:
            raise SandboxLost(str(error)) from error
        host = _host()
        slot = _slot(host, await self._confinement(host), shown, self._config)
        sandbox = LocalSandbox(host, slot, self._config, self._room)
        try:
            await slot.start()
            await sandbox.unpack(archive)
        except BaseException as error:
            host.dispose(slot)
            if isinstance(error, (OSError, RuntimeError)):  # SlotLost is a RuntimeError
                raise SandboxLost(f"no sandbox for task {task.instance_id}: {error}") from error
            raise
        return sandbox

    async def _confinement(self, host: Host) -> Means:
        """The best that holds here, found by trying to break out of it, once in this process."""
        from code_judge.sandbox.levels import Level
        from code_judge.sandbox.probe import TooWeak, choose

        wanted = self._config.min_level
        async with self._choosing:
            if wanted not in _CONFINEMENTS:
                try:
                    _CONFINEMENTS[wanted], _ = await choose(host, Level.parse(wanted))
                except TooWeak as error:
                    raise SandboxLost(
                        f"commands of the model are not run here: no isolation of {wanted} holds "
                        f"({error}). See `code-judge doctor`, or use custom.shell.runtime=container."
                    ) from error
            return _CONFINEMENTS[wanted]


_CONFINEMENTS: dict[str, Means] = {}


@lru_cache(maxsize=1)
def _host() -> Host:
    """One for the process: it deals out user numbers that no two live sandboxes may share."""
    from code_judge.sandbox.cgroups import CgroupHome
    from code_judge.sandbox.host import Host, remove_tree
    from code_judge.sandbox.interpreter import Interpreter

    base = Path(tempfile.mkdtemp(prefix="cleartrace-shell-"))
    base.chmod(0o711)
    atexit.register(_remove_own, base, os.getpid(), remove_tree)
    return Host(Interpreter.ask(sys.executable), base, CgroupHome.find())


def _remove_own(base: Path, owner: int, remove: object) -> None:
    if os.getpid() == owner and base.exists():  # a fork runs this too
        remove(base)  # type: ignore[operator]


@lru_cache(maxsize=32)
def _shown(packages: tuple[str, ...]) -> Visible:
    return visible(packages)


def _slot(host: Host, means: Means, shown: Visible, config: ShellConfig) -> Slot:
    """A slot of the judge with another view of the machine and more room than a program's run has."""
    from code_judge.sandbox.kinds import Kind

    slot = host.make(means, Kind.BARE)
    temporary = slot.config.zygote["scratch"][0]
    environment = {
        **slot.config.environment,
        "PATH": f"{Path(sys.prefix) / 'bin'}:{slot.config.environment['PATH']}",
        "HOME": temporary,
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    slot.config = replace(
        slot.config,
        trees=list(shown.trees),
        hidden=[*slot.config.hidden, *shown.hidden],
        environment=environment,
        disk_mb=config.disk_mb,
        inodes=config.files,
    )
    return slot


@dataclass
class LocalSandbox:
    """One slot with one repository. Commands run one at a time."""

    host: Host
    slot: Slot
    config: ShellConfig
    room: asyncio.Semaphore
    _open: bool = True

    async def unpack(self, archive: bytes) -> None:
        done = await self._execute(("tar", "-xf", "-"), archive, self.config.start_timeout_s)
        if done.exit_code != 0:
            raise SandboxLost(f"the repository does not fit into the sandbox: {done.stderr[-400:]!r}")

    async def run(self, command: str, timeout_s: float, stdin: bytes = b"") -> CommandResult:
        """Run one command in a new bash. Raises SandboxLost."""
        argv = ("bash", "-c", 'exec bash -c "$1" bash 2>&1', "bash", command)
        done = await self._execute(argv, stdin, timeout_s)
        stopped = done.stopped.value if done.stopped else ""
        return CommandResult(
            status=status_of(done.exit_code, stopped),
            output=done.stdout.decode("utf-8", "replace"),
            exit_code=None if stopped else done.exit_code,
            signal=None if stopped else done.signal,
            stopped=stopped,
            cut=done.stdout_bytes > len(done.stdout),
            cost_s=done.wall_s,
        )

    async def _execute(self, argv: tuple[str, ...], stdin: bytes, timeout_s: float) -> Finished:
        from code_judge.sandbox.slot import Mode, Request, SlotLost

        if not self._open:
            raise SandboxLost("the sandbox is closed")
        request = Request(Mode.EXECUTE, {}, stdin, self._limits(timeout_s), argv=argv, keep_files=True)
        try:
            return await self.slot.run(request)
        except (SlotLost, OSError) as error:
            raise SandboxLost(f"the sandbox ended: {error}") from error

    def _limits(self, timeout_s: float) -> SlotLimits:
        from code_judge.sandbox.slot import SlotLimits

        return SlotLimits(
            # The wall decides; processor time of several processes may be more than it.
            cpu_s=timeout_s * max(1, os.cpu_count() or 1) + 1,
            wall_s=timeout_s,
            memory=self.config.memory_mb << 20,
            output=OUTPUT_BYTES,
            processes=self.config.pids,
            file_size=min(_FILE_BYTES, self.config.disk_mb << 20),
            open_files=_OPEN_FILES,
            disk=self.config.disk_mb << 20,
            inodes=self.config.files,
        )

    async def close(self) -> None:
        if self._open:
            self._open = False
            try:
                self.host.dispose(self.slot)
            finally:
                self.room.release()
