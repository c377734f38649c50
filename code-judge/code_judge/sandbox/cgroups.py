"""One cgroup per slot: hard limits on memory and process count, version 1 or 2."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_OF_WORKER = re.compile(r"code-judge-(?:probe-)?(?P<pid>\d+)(?:-\d+)?")


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _own_paths() -> dict[str, str]:
    """Controller -> path of this process; '' is the unified hierarchy."""
    found: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            found[name] = path
    return found


def _mounts() -> tuple[dict[str, Path], Path | None]:
    """Mount points of version 1 controllers, and of the unified hierarchy."""
    old: dict[str, Path] = {}
    unified: Path | None = None
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, options, *_ = line.split()
        if kind == "cgroup2":
            unified = Path(target)
        elif kind == "cgroup":
            for name in options.split(","):
                old[name] = Path(target)
    return old, unified


@dataclass(frozen=True)
class CgroupHome:
    """Where groups can be made. `memory` and `pids` are the same directory on version 2."""

    memory: Path
    pids: Path
    version: int

    @classmethod
    def find(cls) -> CgroupHome | None:
        """None where no group with both limits can be made, which is found out by making one."""
        try:
            own, (old, unified) = _own_paths(), _mounts()
            if unified is not None and {"memory", "pids"} <= set((unified / "cgroup.controllers").read_text().split()):
                here = unified / own.get("", "/").lstrip("/")
                home = cls(here, here, 2)
            else:
                home = cls(old["memory"] / own["memory"].lstrip("/"), old["pids"] / own["pids"].lstrip("/"), 1)
            trial = home.make(f"code-judge-probe-{os.getpid()}")
            trial.limit(64 << 20, 16)
            trial.remove()
            return home
        except (OSError, KeyError):
            return None

    def make(self, name: str) -> Cgroup:
        """A new group. Raises OSError."""
        group = Cgroup(self.memory / name, self.pids / name, self.version)
        for path in {group.memory, group.pids}:
            path.mkdir()
        try:
            group.check()
        except OSError:
            group.remove()
            raise
        return group

    def sweep(self, prefix: str, patience_s: float = 3.0) -> None:
        """Remove groups that a killed worker left, and end what is still in them: slots outlive it for a moment."""
        deadline = time.monotonic() + patience_s
        for path in [path for root in {self.memory, self.pids} for path in root.glob(f"{prefix}*")]:
            while not _removed(path) and time.monotonic() < deadline:
                time.sleep(0.02)

    def held_by(self, pids: Collection[int]) -> set[str]:
        """Names of groups made by one of `pids`. Other services, killed ones too, have groups of their own."""
        found = {path.name: _OF_WORKER.fullmatch(path.name) for path in self.memory.glob("code-judge-*")}
        return {name for name, match in found.items() if match is not None and int(match["pid"]) in pids}

    def sweep_ended(self, min_age_s: float) -> None:
        """Remove empty groups of workers that no longer exist, if they were made so many seconds ago."""
        for root in {self.memory, self.pids}:
            for path in root.glob("code-judge-*"):
                match = _OF_WORKER.fullmatch(path.name)
                with contextlib.suppress(OSError):  # as above
                    facts = path.lstat()
                    old = facts.st_uid == os.geteuid() and time.time() - facts.st_mtime > min_age_s
                    if match is not None and old and not _exists(int(match["pid"])):
                        path.rmdir()


@dataclass(frozen=True)
class Cgroup:
    memory: Path
    pids: Path
    version: int

    def check(self) -> None:
        """Raises OSError when the group has no limits to set (a controller is not delegated)."""
        for path in (self.memory / self._memory_limit, self.pids / "pids.max"):
            os.stat(path)

    @property
    def _memory_limit(self) -> str:
        return "memory.max" if self.version == 2 else "memory.limit_in_bytes"

    def entries(self) -> list[str]:
        """Files that a process writes its own number 0 to in order to enter."""
        return sorted({str(self.memory / "cgroup.procs"), str(self.pids / "cgroup.procs")})

    def limit(self, memory_bytes: int, processes: int) -> None:
        """Set both limits, for all processes of the slot together. Raises OSError."""
        (self.memory / self._memory_limit).write_text(str(memory_bytes))
        (self.pids / "pids.max").write_text(str(processes))

    def counts(self) -> tuple[int, int]:
        """How often the memory limit killed, and how often the process limit refused."""
        if self.version == 2:
            memory = _field(self.memory / "memory.events", "oom_kill")
        else:
            memory = _field(self.memory / "memory.oom_control", "oom_kill")
        return memory, _field(self.pids / "pids.events", "max")

    def remove(self) -> None:
        """Raises OSError when processes are still in it after a second."""
        for path in {self.memory, self.pids}:
            for attempt in range(50):
                try:
                    path.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    if attempt == 49:
                        raise
                    time.sleep(0.02)


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _removed(path: Path) -> bool:
    """Whether a group is gone; if not, its processes have been told to end."""
    try:
        path.rmdir()
        return True
    except FileNotFoundError:
        return True
    except OSError:
        with contextlib.suppress(OSError):
            for pid in (path / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        return False
