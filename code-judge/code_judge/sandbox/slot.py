"""A slot as its supervisor sees it: start it, give it one run at a time, watch the run's limits, read bounded output.

The end of a run is told by the slot, after every process of the run is gone, or forced at a deadline; never by the
end of output. Output pipes live as long as the slot, since nothing of a run lives longer than the run.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from pathlib import Path

from code_judge.sandbox import proctree
from code_judge.sandbox.cgroups import Cgroup
from code_judge.sandbox.launch import SlotConfig
from code_judge.sandbox.levels import Level
from code_judge.sandbox.syscalls import files_as
from code_judge.sandbox.uids import kill_uid

log = logging.getLogger(__name__)
_CHUNK = 1 << 16
_DRAIN_CHUNKS = 17  # one more than a full pipe of the largest unprivileged size
_TICK_MIN_S, _TICK_MAX_S = 0.02, 0.1
_TICK_SOON_S = 0.005
_START_S = 60.0
_CPU_LATE_S = 0.25
_GRACE_S = 5.0
_KILL_AGAIN_S = 0.005
# Interpreters reserve address space that they never use; the limit on used memory is the smaller one.
ADDRESS_SPACE_ALLOWANCE = 256 << 20
REQUEST = struct.Struct("=iQQQQQ")
"""mode, then CPU seconds, address space, processes (0: not by rlimit), file size, open files."""
ANSWER = struct.Struct("=iiddq")
"""kind, wait status, user and system seconds, largest size in KiB."""


class Mode(IntEnum):
    """What a run is: the Python program main.py, the same as a notebook cell, another executable, or our own code."""

    PROGRAM = 0
    CELL = 1
    EXECUTE = 2
    AGENT = 3


_KEEP_FILES, _ONLY_CLEAN, _STDIN = 0x10, 0x20, 0x40


class Stopped(str, Enum):
    """Which limit made the supervisor end a run."""

    CPU = "cpu"
    WALL = "wall"
    OUTPUT = "output"
    MEMORY = "memory"
    PROCESSES = "processes"
    DISK = "disk"


@dataclass(frozen=True)
class SlotLimits:
    """Limits of one run. Memory counts all its processes, `output` each of stdout and stderr; sizes in bytes."""

    cpu_s: float
    wall_s: float
    memory: int
    output: int
    processes: int
    file_size: int
    open_files: int = 256
    disk: int = 64 << 20
    inodes: int = 4096


@dataclass(frozen=True)
class Request:
    """One run. `files` are written to the work directory first; `argv` only for Mode.EXECUTE.

    Mode.AGENT runs the text `agent` with `descriptors` as 3 and 4.
    """

    mode: Mode
    files: Mapping[str, bytes]
    stdin: bytes | None
    limits: SlotLimits
    argv: tuple[str, ...] = ()
    keep_files: bool = False
    agent: bytes = b""
    descriptors: tuple[int, ...] = ()


@dataclass(frozen=True)
class Finished:
    """A run that is over. Exactly one of `exit_code` and `signal` is set. Times in seconds."""

    exit_code: int | None
    signal: int | None
    stopped: Stopped | None
    cpu_s: float
    wall_s: float
    max_rss_mb: float
    stdout: bytes
    stdout_bytes: int
    stderr: bytes
    stderr_bytes: int


class SlotLost(RuntimeError):
    """The slot ended, or could not start. Says nothing about the program."""


class _Stream:
    """The read end of a pipe; keeps at most `cap` bytes of one run."""

    def __init__(self) -> None:
        self.fd, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.fd, False)
        self.reset(0)

    def reset(self, cap: int) -> None:
        self.cap, self.total, self.kept = cap, 0, bytearray()

    def read(self) -> bool:
        """One chunk; False when there is nothing to read now."""
        try:
            data = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return False
        self.total += len(data)
        room = self.cap - len(self.kept)
        if room > 0:
            self.kept += data[:room]
        return len(data) == _CHUNK

    def drain(self) -> None:
        for _ in range(_DRAIN_CHUNKS):
            if not self.read():
                return


def _stdin_fd(data: bytes | None) -> int | None:
    if data is None:
        return None
    writer = os.memfd_create("stdin", os.MFD_CLOEXEC)
    with os.fdopen(writer, "wb") as file:
        file.write(data)
        file.flush()
        return os.open(f"/proc/self/fd/{writer}", os.O_RDONLY | os.O_CLOEXEC)


@dataclass(frozen=True)
class Part:
    """What was measured of one part of a long run (a cell of a session)."""

    stopped: Stopped | None
    cpu_s: float
    wall_s: float
    memory: int
    stdout: bytes
    stdout_bytes: int
    stderr: bytes
    stderr_bytes: int


def part_of(ended: Finished) -> Part:
    """The last part of a run that is over: its figures are those of the whole run."""
    return Part(
        stopped=ended.stopped, cpu_s=ended.cpu_s, wall_s=ended.wall_s, memory=int(ended.max_rss_mb * 2**20),
        stdout=ended.stdout, stdout_bytes=ended.stdout_bytes, stderr=ended.stderr, stderr_bytes=ended.stderr_bytes,
    )  # fmt: skip


@dataclass
class _Run:
    limits: SlotLimits
    begun: float
    done: asyncio.Future[tuple[int, float, int]]
    breaker: Callable[[Stopped], None] | None = None
    """What to do at a limit; the whole run is killed when there is none."""
    stopped: Stopped | None = None
    cpu_base: float | None = 0.0
    """CPU seconds that were used before; None: taken at the first look."""
    cpu_seen: float = 0.0
    memory_seen: int = 0
    filled: float = 0.0
    """Part of the disk and file limits that was used at the last look, so many seconds after the start."""
    filled_at: float = 0.0
    full_in: float = _TICK_MAX_S
    meter: proctree.CpuMeter | None = None
    timer: asyncio.TimerHandle | None = None


@dataclass
class Slot:
    """One warm interpreter and its confinement. Belongs to the running event loop."""

    config: SlotConfig
    group: Cgroup | None = None
    watch_disk: Path | None = None
    """At levels without a size-limited file system: the directory whose size is watched."""
    limit_by_uid: bool = True
    """Whether RLIMIT_NPROC counts only this slot."""
    runs: int = 0
    pid: int = 0
    _run: _Run | None = None
    _work_fd: int = -1
    _ready: asyncio.Future[None] | None = None
    _group_limits: tuple[int, int] | None = None
    _kills_seen: int = 0
    _closed: bool = False
    _out: _Stream = field(default_factory=_Stream)
    _err: _Stream = field(default_factory=_Stream)
    _control: socket.socket = field(init=False)
    _cleaned: asyncio.Future[None] | None = None
    idle_since: float = 0.0

    @property
    def work(self) -> str:
        """The work directory, as a run sees it."""
        return str(self.config.zygote["work"])

    @property
    def alive(self) -> bool:
        return self.pid > 0 and not self._closed

    async def start(self) -> None:
        """Raises SlotLost when the confinement or the interpreter does not come up."""
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        command = [sys.executable, "-m", "code_judge.sandbox.launch", self.config.dumps()]
        source = str(Path(__file__).parents[2])
        with theirs:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self._out.write_end, stderr=self._err.write_end,
                env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": source}, start_new_session=True,
                pass_fds=(3,), preexec_fn=lambda: os.dup2(theirs.fileno(), 3),
            )  # fmt: skip
        loop.add_reader(self._control, self._receive)
        loop.add_reader(self._out.fd, self._readable, self._out)
        loop.add_reader(self._err.fd, self._readable, self._err)
        for stream in (self._out, self._err):
            stream.reset(1 << 14)
            if self.config.uid is not None:  # so that a run may open /dev/stdout
                os.fchown(stream.write_end, self.config.uid, self.config.uid)
        try:
            await loop.run_in_executor(None, process.wait)
            await asyncio.wait_for(self._ready, _START_S)
        except (SlotLost, asyncio.TimeoutError) as error:
            self.close()
            raise SlotLost(f"slot did not start: {error}") from None
        for stream in (self._out, self._err):
            stream.drain()
            os.close(stream.write_end)
            stream.write_end = -1

    async def run(self, request: Request) -> Finished:
        """Run to the end or a limit. Raises SlotLost, after which the slot is closed, and OSError."""
        if self._closed or self._run is not None:
            raise SlotLost("the slot is closed or busy")
        limits = request.limits
        self._limit_group(limits)
        try:
            self._write_all(request.files)
        except BaseException:
            self.close()  # what was written must not meet the next run
            raise
        for stream in (self._out, self._err):
            stream.reset(limits.output)
        loop = asyncio.get_running_loop()
        run = self._run = _Run(limits, time.monotonic(), loop.create_future())
        try:
            self._send_or_lose(request)
            if request.mode is not Mode.AGENT:  # an agent's parts have limits of their own
                run.meter = proctree.CpuMeter(self.pid)
                self._tick(run)
            status, cpu_s, size_kb = await run.done
            wall_s = time.monotonic() - run.begun
        except BaseException:
            self.close()
            raise
        finally:
            if run.timer is not None:
                run.timer.cancel()
            self._run = None
        self.runs += 1
        for stream in (self._out, self._err):
            stream.drain()
        return self._finished(run, status, cpu_s, wall_s, size_kb)

    def _finished(self, run: _Run, status: int, cpu_s: float, wall_s: float, size_kb: int) -> Finished:
        code = os.waitstatus_to_exitcode(status)
        stopped = run.stopped
        if stopped is None and code == -signal.SIGKILL and self._killed_for_memory():
            stopped = Stopped.MEMORY
        if stopped is None and max(self._out.total, self._err.total) > run.limits.output:
            stopped = Stopped.OUTPUT
        if stopped is None and run.meter is not None and cpu_s > run.limits.cpu_s + _CPU_LATE_S:
            stopped = Stopped.CPU  # in processes that came and went between two looks
        return Finished(
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            stopped=stopped,
            cpu_s=cpu_s,
            wall_s=wall_s,
            max_rss_mb=size_kb / 1024,
            stdout=bytes(self._out.kept),
            stdout_bytes=self._out.total,
            stderr=bytes(self._err.kept),
            stderr_bytes=self._err.total,
        )

    def _killed_for_memory(self) -> bool:
        """Whether the kernel killed something in this slot's group since this was last asked."""
        if self.group is None:
            return False
        kills, _ = self.group.counts()
        new = kills > self._kills_seen
        self._kills_seen = kills
        return new

    def _limit_group(self, limits: SlotLimits) -> None:
        wanted = (limits.memory, limits.processes)
        if self.group is not None and self._group_limits != wanted:
            # The warm interpreter itself is in the group too.
            self.group.limit(limits.memory + (64 << 20), limits.processes + 2)
            self._group_limits = wanted

    def _write_all(self, files: Mapping[str, bytes]) -> None:
        # A file system of a user namespace takes files only from users that are known there: not from root outside.
        uid = self.config.uid
        owner = contextlib.nullcontext()
        if uid is not None and self.config.user_namespace:
            owner = files_as(uid)
        with owner:
            for name, data in files.items():
                self._write(name, data)

    def _write(self, name: str, data: bytes) -> None:
        # Nothing runs yet: no component of the name can be a link.
        for depth in range(1, name.count("/") + 1):
            folder = "/".join(name.split("/")[:depth])
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o755, dir_fd=self._work_fd)
                if self.config.uid is not None:
                    os.chown(folder, self.config.uid, self.config.uid, dir_fd=self._work_fd)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o755, dir_fd=self._work_fd)
        try:
            if self.config.uid is not None:
                os.fchown(fd, self.config.uid, self.config.uid)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
        finally:
            os.close(fd)

    async def clean(self) -> None:
        """Empty the directories of a run that kept its files. Raises SlotLost."""
        if self._closed or self._run is not None:
            raise SlotLost("the slot is closed or busy")
        self._cleaned = asyncio.get_running_loop().create_future()
        self._control.send(REQUEST.pack(_ONLY_CLEAN, 0, 0, 0, 0, 0))
        await self._cleaned

    def read_file(self, name: str, cap: int) -> bytes | None:
        """A regular file that the last run left below the work directory; None for anything else, links too."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        folders, opened = name.split("/")[:-1], [self._work_fd]
        try:
            for folder in folders:
                opened.append(os.open(folder, flags | os.O_DIRECTORY, dir_fd=opened[-1]))
            fd = os.open(name.rpartition("/")[2], flags, dir_fd=opened[-1])
        except OSError:
            return None
        finally:
            for folder_fd in opened[1:]:
                os.close(folder_fd)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            return None
        with os.fdopen(fd, "rb") as file:
            return file.read(cap + 1)

    def _send_or_lose(self, request: Request) -> None:
        try:
            self._send(request)
        except OSError as error:
            raise SlotLost(f"the slot does not listen: {error}") from None

    def _send(self, request: Request) -> None:
        limits = request.limits
        mode = request.mode | (_KEEP_FILES if request.keep_files else 0) | (_STDIN if request.stdin is not None else 0)
        header = REQUEST.pack(
            mode,
            math.ceil(limits.cpu_s) + 1,
            limits.memory + ADDRESS_SPACE_ALLOWANCE,
            limits.processes if self.limit_by_uid else 0,
            limits.file_size,
            limits.open_files,
        )
        extra = request.agent or "\0".join(request.argv).encode("utf-8", "surrogateescape")
        stdin = _stdin_fd(request.stdin)
        fds = [*(() if stdin is None else (stdin,)), *request.descriptors]
        if not fds:
            self._control.send(header + extra)
            return
        try:
            self._control.sendmsg([header + extra], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
        finally:
            if stdin is not None:
                os.close(stdin)

    def _readable(self, stream: _Stream) -> None:
        stream.read()
        run = self._run
        if run is not None and stream.total > stream.cap and run.stopped is None:
            self._stop(run, Stopped.OUTPUT)

    def _receive(self) -> None:
        try:
            data, rights, _, _ = self._control.recvmsg(4096, socket.CMSG_SPACE(4))
        except BlockingIOError:
            return
        except OSError:
            data, rights = b"", []
        if self._ready is not None and not self._ready.done():
            self._started(data, rights)
        elif not data:
            self._err.drain()
            self._lost(f"the slot's interpreter ended {bytes(self._err.kept[-300:])!r}")
        elif self._cleaned is not None and not self._cleaned.done():
            self._cleaned.set_result(None)
        elif self._run is not None:
            kind, status, user, system, size = ANSWER.unpack(data)
            if kind == 2:
                self._kill_rest(self._run)
            elif kind == 0 and not self._run.done.done():
                self._run.done.set_result((status, user + system, size))

    def _kill_rest(self, run: _Run) -> None:
        """Until the slot says that all are dead: processes that fork without pause may outrun one look at them."""
        if self._run is run and not run.done.done() and not self._closed:
            proctree.end_below(self.pid)
            asyncio.get_running_loop().call_later(_KILL_AGAIN_S, self._kill_rest, run)

    def _started(self, data: bytes, rights: list[tuple[int, int, bytes]]) -> None:
        assert self._ready is not None
        word, _, rest = data.decode(errors="replace").partition(" ")
        if word == "pid":
            self.pid = int(rest)
        elif word == "ready":
            self._work_fd = array.array("i", rights[0][2])[0]
            self._ready.set_result(None)
        else:
            self._err.drain()
            said = bytes(self._err.kept[-500:]).decode(errors="replace").strip()
            self._ready.set_exception(SlotLost(rest or f"it ended at once: {said}"))

    def _lost(self, why: str) -> None:
        run = self._run
        if run is not None and not run.done.done():
            if self._killed_for_memory():  # the run's memory took the warm interpreter along
                run.stopped = Stopped.MEMORY
                run.done.set_result((signal.SIGKILL, run.cpu_seen, run.memory_seen >> 10))
            else:
                run.done.set_exception(SlotLost(why))
        if self._cleaned is not None and not self._cleaned.done():
            self._cleaned.set_exception(SlotLost(why))
        self.close()

    def begin_part(self, limits: SlotLimits, breaker: Callable[[Stopped], None], exact: bool = True) -> None:
        """From here on the run is watched by these limits; `breaker` is called once at the first that breaks.

        Not `exact`: short parts cost no look at /proc, and the first 20 ms of long ones are not counted.
        """
        run = self._run
        if run is None:
            raise SlotLost("the session is over")
        for stream in (self._out, self._err):
            stream.drain()
            stream.reset(limits.output)
        run.limits, run.begun, run.breaker, run.stopped = limits, time.monotonic(), breaker, None
        run.cpu_base, run.cpu_seen, run.memory_seen = None, 0.0, 0
        if exact:
            now = proctree.usage(proctree.descendants(self.pid))
            run.cpu_base, run.memory_seen = now.cpu_s, now.memory
        self._tick(run)

    def end_part(self) -> Part:
        """Stop watching; the run itself goes on."""
        run = self._run
        if run is None:
            raise SlotLost("the session is over")
        if run.timer is not None:
            run.timer.cancel()
        if run.cpu_base is not None:
            now = proctree.usage(proctree.descendants(self.pid))
            run.cpu_seen = max(run.cpu_seen, now.cpu_s - run.cpu_base)
            run.memory_seen = max(run.memory_seen, now.memory)
        for stream in (self._out, self._err):
            stream.drain()
        if run.stopped is None and max(self._out.total, self._err.total) > run.limits.output:
            run.stopped = Stopped.OUTPUT
        return Part(
            stopped=run.stopped,
            cpu_s=run.cpu_seen,
            wall_s=time.monotonic() - run.begun,
            memory=run.memory_seen,
            stdout=bytes(self._out.kept),
            stdout_bytes=self._out.total,
            stderr=bytes(self._err.kept),
            stderr_bytes=self._err.total,
        )

    def _stop(self, run: _Run, reason: Stopped) -> None:
        run.stopped = reason
        if run.timer is not None:
            run.timer.cancel()
        if run.breaker is not None:
            run.breaker(reason)
            return
        proctree.kill_below(self.pid)
        # A slot that does not answer after its run was killed is stuck itself.
        run.timer = asyncio.get_running_loop().call_later(_GRACE_S, self._lost, "the slot did not answer")

    def _tick(self, run: _Run) -> None:
        try:
            self._look(run)
        except Exception as error:  # never a run without limits
            log.exception("the limits of a run could not be watched")
            self._lost(f"its limits could not be watched: {error!r}")

    def _look(self, run: _Run) -> None:
        limits = run.limits
        passed = time.monotonic() - run.begun
        reason = None
        if passed > _TICK_MIN_S / 2:  # most runs end before the first look
            if proctree.is_stopped(self.pid):
                self._lost("the slot's interpreter was stopped")
                return
            pids = proctree.descendants(self.pid)
            now = proctree.usage(pids, run.meter)
            if run.cpu_base is None:
                run.cpu_base = now.cpu_s
            run.cpu_seen = max(run.cpu_seen, now.cpu_s - run.cpu_base)
            run.memory_seen = max(run.memory_seen, now.memory)
            reason = self._broken(pids, now, limits, passed, run.cpu_seen)
            if reason is None and self.watch_disk is not None and self._filled(run, passed) > 1:
                reason = Stopped.DISK
        if reason is not None:
            self._stop(run, reason)
            return
        left = min(limits.cpu_s - run.cpu_seen, limits.wall_s - passed)
        pause = min(max(left, _TICK_MIN_S), _TICK_MAX_S if passed > 1 else 2 * _TICK_MIN_S)
        run.timer = asyncio.get_running_loop().call_later(min(pause, run.full_in), self._tick, run)

    def _filled(self, run: _Run, passed: float) -> float:
        """The part of its disk and file limits that a run has used; sets when it will be all, at the present rate."""
        assert self.watch_disk is not None
        size, count = proctree.tree_size(self.watch_disk, run.limits.inodes)
        used = max(size / run.limits.disk, count / run.limits.inodes)
        grown, since = used - run.filled, passed - run.filled_at
        # Thousands of files are made between two looks: the next one is when the limit may be reached.
        run.full_in = max(_TICK_SOON_S, since * (1 - used) / grown) if grown > 0 else _TICK_MAX_S
        run.filled, run.filled_at = used, passed
        return used

    def _broken(
        self, pids: list[int], now: proctree.Usage, limits: SlotLimits, passed: float, cpu_s: float
    ) -> Stopped | None:
        if cpu_s >= limits.cpu_s:
            return Stopped.CPU
        if passed >= limits.wall_s:
            return Stopped.WALL
        if now.processes > limits.processes + 1:
            return Stopped.PROCESSES
        if now.memory + now.shared > limits.memory and proctree.held_memory(pids) > limits.memory:
            return Stopped.MEMORY
        return None

    def _end_processes(self) -> None:
        below = proctree.end_below(self.pid)
        with contextlib.suppress(ProcessLookupError):  # already gone
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # the launcher failed before we inherited it
            os.waitpid(self.pid, 0)
        uid = self.config.uid
        if uid is not None and not Level.parse(self.config.level).has_namespaces:
            # Where no namespace ends them, what the interpreter left when it died lives on, as our children.
            if proctree.children_of_user(os.getpid(), uid):
                kill_uid(uid)
            below += proctree.children_of_user(os.getpid(), uid)
        proctree.reap(below)

    def close(self) -> None:
        """End the slot and all in it. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        for fd in (self._control.fileno(), self._out.fd, self._err.fd):
            loop.remove_reader(fd)
        self._control.close()
        if self.pid:
            self._end_processes()
        for fd in (self._out.fd, self._err.fd, self._out.write_end, self._err.write_end, self._work_fd):
            if fd >= 0:
                os.close(fd)
        if self.group is not None:
            try:
                self.group.remove()
            except OSError as error:
                log.warning("cannot remove the cgroup of a slot: %s", error)
