"""One confined process: start, watch limits, read bounded output, leave nothing behind.

The end of a run is the end of its main process or a deadline, never the end of its output.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from code_judge.isolation import Confinement, kill_uid

_CHUNK = 1 << 16
_TICK_MIN_S, _TICK_MAX_S = 0.02, 0.25
_REAP_ROUNDS = 200


class Stopped(str, Enum):
    """Which limit made the supervisor end a run."""

    CPU = "cpu"
    WALL = "wall"
    OUTPUT = "output"


@dataclass(frozen=True)
class Finished:
    """A run that is over. Exactly one of `exit_code` and `signal` is set."""

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


class _Stream:
    """Reads a pipe without blocking and keeps at most `cap` bytes."""

    def __init__(self, fd: int, cap: int) -> None:
        os.set_blocking(fd, False)
        self.fd, self.cap, self.total, self.kept, self.open = fd, cap, 0, bytearray(), True

    def read(self) -> bool:
        """One chunk; False when there is nothing to read now."""
        try:
            data = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self.open = False
            return False
        self.total += len(data)
        self.kept += data[: max(0, self.cap - len(self.kept))]
        return True

    def drain(self) -> None:
        """What is in the pipe now: bounded, as every writer is dead or escaped."""
        for _ in range(1 + (1 << 20) // _CHUNK):
            if not self.open or not self.read():
                return


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a live process so far. Raises OSError when it is gone."""
    # Linux encodes the clock of a process as (~pid << 3) | CPUCLOCK_SCHED.
    return time.clock_gettime((~pid << 3) | 2)


def _stdin_fd(data: bytes | None) -> int:
    if data is None:
        return os.open(os.devnull, os.O_RDONLY)
    writer = os.memfd_create("stdin", os.MFD_CLOEXEC)
    with os.fdopen(writer, "wb") as file:
        file.write(data)
        file.flush()
        return os.open(f"/proc/self/fd/{writer}", os.O_RDONLY | os.O_CLOEXEC)


def spawn(
    argv: list[str], env: Mapping[str, str], cwd: Path, stdin: bytes | None, confinement: Confinement
) -> tuple[int, int, int]:
    """Start `argv` confined. Returns its pid and the read ends of stdout and stderr.

    Raises OSError or subprocess.SubprocessError when it cannot be confined or executed.
    """
    fds = [_stdin_fd(stdin)]
    try:
        out_r, out_w = os.pipe()
        fds += [out_w, out_r]
        err_r, err_w = os.pipe()
        fds += [err_w, err_r]
        if confinement.uid is not None:
            for fd in (out_w, err_w):  # so that the run may open /dev/stdout
                os.fchown(fd, confinement.uid, confinement.uid)
        process = subprocess.Popen(
            argv, stdin=fds[0], stdout=out_w, stderr=err_w, env=dict(env), cwd=cwd,
            close_fds=True, start_new_session=True, preexec_fn=confinement.apply,
        )  # fmt: skip
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    for fd in (fds[0], out_w, err_w):
        os.close(fd)
    process.returncode = 0  # this module waits by pid: Popen must not
    return process.pid, out_r, err_r


class ProcessTable:
    """The live runs of one supervisor, which must be a child subreaper."""

    def __init__(self) -> None:
        self.live: set[int] = set()

    def _strays(self) -> list[int]:
        me = os.getpid()
        text = Path(f"/proc/{me}/task/{me}/children").read_text()
        return [pid for pid in map(int, text.split()) if pid not in self.live]

    def reap_strays(self) -> None:
        """Kill and reap descendants that outlived their run; a run owns nothing that lives on."""
        for _ in range(_REAP_ROUNDS):
            strays = self._strays()
            if not strays:
                return
            for pid in strays:
                uid = os.stat(f"/proc/{pid}").st_uid
                if uid not in (0, os.geteuid()):
                    kill_uid(uid)
                else:
                    os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        raise OSError("descendants of a run keep coming back")

    async def run(
        self, argv: list[str], env: Mapping[str, str], cwd: Path, stdin: bytes | None, confinement: Confinement
    ) -> Finished:
        """Run one confined process to its end. Raises OSError or subprocess.SubprocessError when it cannot start."""
        begun = time.monotonic()
        pid, out_fd, err_fd = spawn(argv, env, cwd, stdin, confinement)
        self.live.add(pid)
        cap = confinement.limits.output_bytes
        out, err = _Stream(out_fd, cap), _Stream(err_fd, cap)
        try:
            stopped = await _watch(pid, (out, err), begun, confinement)
        finally:
            wall_s = time.monotonic() - begun
            os.killpg(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
            self.live.discard(pid)
            self.reap_strays()
            for stream in (out, err):
                stream.drain()
                os.close(stream.fd)
        if stopped is None and max(out.total, err.total) > cap:
            stopped = Stopped.OUTPUT
        code = os.waitstatus_to_exitcode(status)
        return Finished(
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            stopped=stopped,
            cpu_s=usage.ru_utime + usage.ru_stime,
            wall_s=wall_s,
            max_rss_mb=usage.ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20),
            stdout=bytes(out.kept),
            stdout_bytes=out.total,
            stderr=bytes(err.kept),
            stderr_bytes=err.total,
        )


async def _watch(pid: int, streams: tuple[_Stream, ...], begun: float, confinement: Confinement) -> Stopped | None:
    """Wait for the main process or the first limit it breaks."""
    limits = confinement.limits
    loop = asyncio.get_running_loop()
    over: asyncio.Future[Stopped | None] = loop.create_future()
    timer: list[asyncio.TimerHandle] = []

    def finish(reason: Stopped | None) -> None:
        if not over.done():
            over.set_result(reason)

    def readable(stream: _Stream) -> None:
        stream.read()
        if not stream.open:
            loop.remove_reader(stream.fd)
        elif stream.total > stream.cap:
            finish(Stopped.OUTPUT)

    def tick() -> None:
        wall_left = limits.wall_s - (time.monotonic() - begun)
        try:
            cpu_left = limits.cpu_s - cpu_seconds(pid)
        except OSError:
            return  # it has just ended; the pidfd reports that
        if cpu_left <= 0 or wall_left <= 0:
            finish(Stopped.CPU if cpu_left <= 0 else Stopped.WALL)
            return
        timer[:] = [loop.call_later(min(max(min(cpu_left, wall_left), _TICK_MIN_S), _TICK_MAX_S), tick)]

    pidfd = os.pidfd_open(pid)
    try:
        loop.add_reader(pidfd, finish, None)
        for stream in streams:
            loop.add_reader(stream.fd, readable, stream)
        tick()
        return await over
    finally:
        for handle in timer:
            handle.cancel()
        for fd in (pidfd, *(stream.fd for stream in streams)):
            loop.remove_reader(fd)
        os.close(pidfd)
