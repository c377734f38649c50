"""Samples of what an attacked slot holds, taken from outside while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from code_judge.sandbox import proctree
from code_judge.sandbox.slot import Slot

_PAUSE_S = 0.015
_NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts")
_HARD_LIMITS = ("Max address space", "Max cpu time", "Max file size", "Max open files")
_MANY_FILES = 500


@dataclass
class Peaks:
    """Sizes in bytes, of all processes of the slot together."""

    memory: int = 0
    processes: int = 0
    threads: int = 0
    disk: int = 0
    files: int = 0
    biggest_file: int = 0
    supervisor_growth: int = 0
    strange: set[str] = field(default_factory=set)
    """Seen on a process of the run: another namespace than its slot's, an io_uring, a tracer on a target."""
    hard_limits: dict[int, dict[str, float]] = field(default_factory=dict)
    """The last seen limits of each process of the run."""

    def take(self, **now: int) -> None:
        for name, value in now.items():
            setattr(self, name, max(getattr(self, name), value))


def resident(pid: int | str = "self") -> int:
    """Bytes of physical memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _open_things(pid: int) -> tuple[dict[int, int], bool]:
    """Bytes of unnamed memory files by inode, and whether there is an io_uring."""
    files: dict[int, int] = {}
    ring = False
    with contextlib.suppress(PermissionError, FileNotFoundError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                name = os.readlink(entry.path)
                ring = ring or "io_uring" in name
                if name.startswith("/memfd:"):
                    facts = os.stat(entry.path)
                    files[facts.st_ino] = facts.st_blocks * 512
    return files, ring


def _hard_limits(pid: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        for name in _HARD_LIMITS:
            if line.startswith(name):
                word = line[len(name) :].split()[1]
                found[name] = float("inf") if word == "unlimited" else float(word)
    return found


def _namespaces(pid: int) -> dict[str, str]:
    found = {}
    for name in _NAMESPACES:
        with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
            found[name] = os.readlink(f"/proc/{pid}/ns/{name}")
    return found


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


def stored(slot: Slot) -> tuple[int, int, int]:
    """Bytes and entries that the slot's runs have on disk, and the size of the largest file."""
    if slot.watch_disk is not None:
        size, count = proctree.tree_size(slot.watch_disk)
    else:
        facts = os.fstatvfs(slot._work_fd)
        size, count = (facts.f_blocks - facts.f_bfree) * facts.f_frsize, facts.f_files - facts.f_ffree
    biggest = 0
    if count < _MANY_FILES:
        for _, _, names, directory in os.fwalk(".", dir_fd=slot._work_fd):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    biggest = max(biggest, os.stat(name, dir_fd=directory, follow_symlinks=False).st_blocks * 512)
    return size, count, biggest


def _look(slot: Slot, peaks: Peaks, targets: Iterable[int]) -> None:
    memory, processes, threads, files = 0, 0, 0, {}
    home = _namespaces(slot.pid)
    for pid in proctree.descendants(slot.pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            memory += proctree.held_memory([pid])
            unnamed, ring = _open_things(pid)
            files |= unnamed
            processes += 1
            threads += _status(pid, "Threads:")
            peaks.hard_limits[pid] = _hard_limits(pid)
            for name, link in _namespaces(pid).items():
                if link != home.get(name, link):
                    peaks.strange.add(f"another {name} namespace")
            if ring:
                peaks.strange.add("an io_uring")
    for pid in (slot.pid, *targets):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if _status(pid, "TracerPid:"):
                peaks.strange.add("a tracer on a process outside the run")
    size, count, biggest = stored(slot)
    peaks.take(
        memory=memory + sum(files.values()), processes=processes, threads=threads,
        disk=size, files=count, biggest_file=biggest,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def watching(current: Callable[[], Slot | None], targets: Iterable[int]) -> AsyncIterator[Peaks]:
    """Samples the current slot until the block ends."""
    peaks, at_start = Peaks(), resident()

    async def sample() -> None:
        while True:
            slot, begun = current(), time.monotonic()
            if slot is not None and slot.alive:
                _look(slot, peaks, targets)
            peaks.take(supervisor_growth=resident() - at_start)
            # Looks share the loop with the slot's own watcher, which long ones must not keep from its work.
            await asyncio.sleep(max(_PAUSE_S, time.monotonic() - begun))

    task = asyncio.create_task(sample())
    try:
        yield peaks
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
