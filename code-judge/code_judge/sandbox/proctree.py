"""What a supervisor sees of a slot's processes in /proc: their tree, CPU time and memory; and ending them."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_KILLS = 50
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
    """Of several processes together. `memory` in bytes: pages of no file, those of a fork counted once a process.

    `shared`: pages of files and of memory that is shared by intent, counted likewise.
    """

    cpu_s: float
    memory: int
    processes: int
    shared: int = 0


def _stat(pid: int) -> list[bytes]:
    """From the state on. Bytes: the name before it is the program's own choice, and may be no text."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


def _cpu(pid: int) -> tuple[float, float]:
    """CPU seconds of a process itself, and of children that it waited for."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS, (int(fields[13]) + int(fields[14])) / _TICKS


def usage(pids: list[int], meter: CpuMeter | None = None) -> Usage:
    """Sum over those that are still there; CPU time includes children that were waited for, and what `meter` adds."""
    cpu, memory, shared_pages = {}, 0, 0
    above = 0.0 if meter is None else meter.root_waited()  # read first: nothing is counted twice
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            cpu[pid] = _cpu(pid)
            resident, shared = (int(word) for word in Path(f"/proc/{pid}/statm").read_text().split()[1:3])
            memory += (resident - shared) * _PAGE
            shared_pages += shared * _PAGE
    total = sum(map(sum, cpu.values())) if meter is None else meter.count(cpu, above)
    return Usage(total, memory, len(cpu), shared_pages)


@dataclass
class CpuMeter:
    """CPU time of a run with what its vanished processes used, whoever waited for them, or nobody.

    `root` is the process above the run, whose own time is not counted. It waits for orphans.
    """

    root: int
    _root_waited: float | None = None
    _before: dict[int, tuple[float, float]] = field(default_factory=dict)
    _gone: float = 0.0
    _grown: float = 0.0
    _lost: float = 0.0

    def root_waited(self) -> float:
        """CPU seconds of the processes that the root waited for; 0 when it is gone."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return _cpu(self.root)[1]
        return 0.0

    def count(self, now: Mapping[int, tuple[float, float]], root_waited: float) -> float:
        """`now`: own and waited-for CPU seconds of the live processes, a parent read before its children."""
        before = self._before
        if self._root_waited is None:
            self._root_waited = root_waited
        below = {**now, self.root: (0.0, root_waited - self._root_waited)}
        # Of those that vanished, somebody's waited-for time grew by at least as much, or it is lost to the kernel.
        self._gone += sum(sum(times) for pid, times in before.items() if pid not in below)
        self._grown += sum(waited - before.get(pid, (0.0, 0.0))[1] for pid, (_, waited) in below.items())
        # One may vanish after its parent was read: only what two looks in a row miss is lost.
        missing = max(0.0, self._gone - self._grown)
        lost, self._lost = min(missing, self._lost), missing
        self._before = below
        return sum(map(sum, below.values())) + lost


def held_memory(pids: list[int]) -> int:
    """Bytes of memory of no file, and of memory shared by intent; each page divided by the processes that share it.

    Slower than `usage`. Where that is hidden from us, shared pages count once a process.
    """
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            try:
                total += _kib(pid, "smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:"))
            except PermissionError:
                total += _kib(pid, "status", (b"RssAnon:", b"RssShmem:"))
    return total


def _kib(pid: int, name: str, fields: tuple[bytes, ...]) -> int:
    lines = Path(f"/proc/{pid}/{name}").read_bytes().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(fields))


def is_stopped(pid: int) -> bool:
    """Whether a process is halted by a signal."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return _stat(pid)[0] in b"Tt"
    return False


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


def _is_dead(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return _stat(pid)[0] in b"ZX"
    return True


def end_below(pid: int) -> list[int]:
    """SIGKILL descendants of `pid` until none is alive, a few times at most. Returns all that were seen."""
    seen: set[int] = set()
    for _ in range(_KILLS):
        below = descendants(pid)
        seen.update(below)
        if all(map(_is_dead, below)):
            break
        kill_below(pid)
    return sorted(seen)


def children_of_user(pid: int, uid: int) -> list[int]:
    """Direct children of `pid` that run as `uid`, dead ones too."""
    found = []
    for child in children(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if os.stat(f"/proc/{child}").st_uid == uid:
                found.append(child)
    return found


def reap(pids: Iterable[int]) -> None:
    """Wait up to a second for killed processes that may have become ours: a dead one still counts for its user."""
    left, end = set(pids), time.monotonic() + 1.0
    while left and time.monotonic() < end:
        for pid in list(left):
            try:
                gone = os.waitpid(pid, os.WNOHANG)[0] == pid
            except ChildProcessError:
                gone = True
            if gone:
                left.discard(pid)
        if left:
            time.sleep(0.002)


def tree_size(path: Path, most: int | None = None) -> tuple[int, int]:
    """Bytes on disk and number of entries below a directory. No further than just above `most` entries.

    Somebody may be making files as fast as they are looked at, and is to be stopped soon. A directory that is nested
    too deeply to be looked into counts as too many entries: anything may lie there.
    """
    size, count, todo = 0, 0, [str(path)]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                found = list(itertools.islice(entries, None if most is None else most - count + 1))
            count += len(found)
            if most is not None and count > most:
                break
            todo += [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
            size += sum(map(_blocks, found))
        except (FileNotFoundError, NotADirectoryError, PermissionError):  # changed meanwhile
            continue
        except OSError:
            return size, count if most is None else most + 1
    return size, count


def _blocks(entry: os.DirEntry[str]) -> int:
    """Bytes on disk; of directories none."""
    with contextlib.suppress(FileNotFoundError):  # removed meanwhile
        return 0 if entry.is_dir(follow_symlinks=False) else entry.stat(follow_symlinks=False).st_blocks * 512
    return 0
