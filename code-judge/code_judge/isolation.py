"""Level L0: hard rlimits, own uid, clean environment; and an empty network where the kernel permits it.

What holds is found out once at start by trying it, and is reported with every result. A step that worked in the
probe and fails later ends the run as an infrastructure error: it is never left out.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from code_judge import syscalls
from code_judge.hostview import expose
from code_judge.jobs import RunLimits

LEVEL = "L0-rlimits"
# Interpreters reserve address space that they never use; the limit on used memory is the smaller one.
ADDRESS_SPACE_ALLOWANCE_MB = 256
FILE_SIZE = 64 << 20
OPEN_FILES = 256
PROCESSES = 64
_HIGH_UID_BASE = 0x40000000


@dataclass(frozen=True)
class Capabilities:
    """What this worker's runs are confined by, beside rlimits, process group and clean environment."""

    own_uid: bool
    empty_network: bool

    @property
    def label(self) -> str:
        """For example `L0-rlimits+uid+net`."""
        parts = [LEVEL, *(name for name, held in (("uid", self.own_uid), ("net", self.empty_network)) if held)]
        return "+".join(parts)


@dataclass(frozen=True)
class Confinement:
    """Applied in the child between fork and exec, before any user code."""

    limits: RunLimits
    uid: int | None
    network_fd: int | None
    parent_pid: int

    def apply(self) -> None:
        """Raises OSError or ValueError; the exec then does not take place."""
        if self.network_fd is not None:
            syscalls.setns(self.network_fd, syscalls.CLONE_NEWNET)
        if self.uid is not None:
            os.setgroups([])
            os.setresgid(self.uid, self.uid, self.uid)
            os.setresuid(self.uid, self.uid, self.uid)
            resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
        syscalls.no_new_privs()
        syscalls.die_with_parent(signal.SIGKILL)
        if os.getppid() != self.parent_pid:
            os._exit(1)
        os.umask(0o077)
        cpu = math.ceil(self.limits.cpu_s) + 1
        space = (self.limits.memory_mb + ADDRESS_SPACE_ALLOWANCE_MB) << 20
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Last: from here on this process can hardly allocate.
        resource.setrlimit(resource.RLIMIT_AS, (space, space))


def in_child(action: Callable[[], None]) -> bool:
    """Run `action` in a fork; True when it raised nothing."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os._exit(0)
        except OSError:
            os._exit(1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _widest_uid_map() -> int:
    rows = [[int(word) for word in line.split()] for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return max((start + count for start, _, count in rows), default=0)


def slot_uid(supervisor_pid: int, slot: int, slots: int) -> int:
    """A uid no other live supervisor of this PID namespace uses, where the uid map is wide enough."""
    if _widest_uid_map() > _HIGH_UID_BASE + (1 << 29):
        return _HIGH_UID_BASE + supervisor_pid * 64 + slot
    return 20_000 + (supervisor_pid * slots + slot) % 40_000


def become(uid: int) -> None:
    """Drop to `uid` for good. Raises OSError."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def kill_uid(uid: int) -> None:
    """SIGKILL every process of `uid`. Race-free: the kernel walks all processes in one call."""

    def action() -> None:
        become(uid)
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return

    if not in_child(action):
        raise OSError(f"could not signal the processes of uid {uid}")


def open_empty_network() -> int | None:
    """An fd of a network namespace without any interface up, or None where that is not permitted."""
    ready_r, ready_w = os.pipe()
    done_r, done_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            os.write(ready_w, b"1")
        except OSError:
            os.write(ready_w, b"0")
        os.close(done_w)
        os.read(done_r, 1)
        os._exit(0)
    try:
        held = os.read(ready_r, 1) == b"1"
        return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC) if held else None
    finally:
        for fd in (ready_r, ready_w, done_r, done_w):
            os.close(fd)
        os.waitpid(pid, 0)


def _uid_can_run(python: str, uid: int, cwd: Path) -> bool:
    command = [python, "-c", "import json, encodings"]
    try:
        done = subprocess.run(command, preexec_fn=lambda: become(uid), cwd=cwd, env={}, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def probe(python: str, base_dir: Path, uid: int, keep: list[Path]) -> tuple[Capabilities, int | None]:
    """Find out what holds here. `keep`: paths this process itself still needs below private directories.

    Returns the capabilities and the fd of the empty network.
    """
    network_fd = open_empty_network()
    if network_fd is not None:
        fd = network_fd
        if not in_child(lambda: syscalls.setns(fd, syscalls.CLONE_NEWNET)):
            os.close(fd)
            network_fd = None
    own_uid = False
    if os.geteuid() == 0 and in_child(lambda: become(uid)):
        own_uid = _uid_can_run(python, uid, base_dir)
        if not own_uid:
            needed = [Path(sys.prefix), Path(sys.base_prefix), Path(python).resolve().parent.parent, base_dir]
            needed += [Path(entry) for entry in sys.path if entry] + keep
            try:
                expose(needed)
                own_uid = _uid_can_run(python, uid, base_dir)
            except OSError as error:
                print(f"cannot make {python} reachable for other users: {error}", file=sys.stderr)
    return Capabilities(own_uid, network_fd is not None), network_fd
