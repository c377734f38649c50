"""What a running service holds, counted from outside."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from code_judge.sandbox.cgroups import CgroupHome


@dataclass(frozen=True)
class Holdings:
    """Of all processes of a service, as far as this user may look. `private_mb`: memory that only one process has."""

    processes: int
    zombies: int
    descriptors: int
    private_mb: float
    files: int
    cgroups: int
    shared_objects: int

    @classmethod
    def now(cls, pids: Sequence[int], run_dir: Path, cgroups: CgroupHome | None) -> Holdings:
        processes = zombies = descriptors = private_kb = 0
        for pid in pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                zombies += state == "Z"
                processes += state != "Z"
                descriptors += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                private_kb += sum(int(row.split()[1]) for row in rollup.splitlines() if row.startswith("Private_"))
        files = sum(1 for _ in run_dir.rglob("*"))
        groups = 0 if cgroups is None else len(cgroups.held_by(pids))
        return cls(processes, zombies, descriptors, private_kb / 1024, files, groups, shared_objects())


def shared_objects() -> int:
    """Objects of the machine that outlive processes: System V and POSIX."""
    rows = [len(Path("/proc/sysvipc", kind).read_text().splitlines()) - 1 for kind in ("shm", "sem", "msg")]
    folders = [folder for folder in (Path("/dev/shm"), Path("/dev/mqueue")) if folder.is_dir()]
    return sum(rows) + sum(1 for folder in folders for _ in folder.iterdir())
