"""What a supervisor sees of a slot's processes in /proc: their tree, CPU time and memory; and ending them."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    """Direct children of a process, of any of its threads; empty when it is gone."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    """Live descendants of `pid`, nearest first."""
    found: list[int] = []
    todo = [pid]
    while todo:
        below = children(todo.pop(0))
        found += below
        todo += below
    return found


@dataclass(frozen=True)
class Usage:
    """Of several processes together. `memory` in bytes: private and shared pages each counted once a process."""

    cpu_s: float
    memory: int
    processes: int


def usage(pids: list[int]) -> Usage:
    """Sum over those that are still there; CPU time includes children that were waited for."""
    cpu, memory, count = 0.0, 0, 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            cpu += sum(int(fields[index]) for index in (11, 12, 13, 14)) / _TICKS
            resident, shared = (int(word) for word in Path(f"/proc/{pid}/statm").read_text().split()[1:3])
            memory += (resident - shared) * _PAGE
            count += 1
    return Usage(cpu, memory, count)


def kill_below(pid: int) -> None:
    """SIGKILL every descendant of `pid`. A number is checked to be still below `pid` before it is signalled."""
    for target in descendants(pid):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            handle = os.pidfd_open(target)
            try:
                if target in descendants(pid):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)


def tree_size(path: Path) -> tuple[int, int]:
    """Bytes on disk and number of entries below a directory."""
    size, count, todo = 0, 0, [str(path)]
    while todo:
        with contextlib.suppress(FileNotFoundError, PermissionError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                else:
                    with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
    return size, count
