"""Users of slots: numbers that nobody else has, and ending all processes of one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

_HIGH_BASE = 0x40000000
SLOTS_PER_SUPERVISOR = 64


def _widest_map() -> int:
    rows = [[int(word) for word in line.split()] for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return max((start + count for start, _, count in rows), default=0)


def slot_uid(supervisor_pid: int, slot: int) -> int:
    """A uid no other live supervisor of this PID namespace uses, where the uid map is wide enough."""
    number = supervisor_pid * SLOTS_PER_SUPERVISOR + slot
    return _HIGH_BASE + number if _widest_map() > _HIGH_BASE + (1 << 29) else 20_000 + number % 40_000


def become(uid: int) -> None:
    """Drop to `uid` for good. Raises OSError."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def can_become(uid: int) -> bool:
    """Whether this process may give its children another user."""
    pid = os.fork()
    if pid == 0:
        try:
            become(uid)
            os._exit(0)
        except OSError:
            os._exit(1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def kill_uid(uid: int) -> None:
    """SIGKILL every process of `uid`. Race-free: the kernel walks all processes in one call. Raises OSError."""
    pid = os.fork()
    if pid == 0:
        try:
            become(uid)
            os.kill(-1, signal.SIGKILL)
            os._exit(0)
        except ProcessLookupError:
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        raise OSError(f"could not signal the processes of uid {uid}")
