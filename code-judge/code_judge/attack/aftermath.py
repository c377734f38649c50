"""What no attack may leave or carry out, whatever it was about."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from code_judge.attack.baits import Baits
from code_judge.attack.model import Scene
from code_judge.attack.watch import stored
from code_judge.executor import Executor
from code_judge.jobs import Job, Outcome, Report, RunLimits
from code_judge.sandbox import proctree
from code_judge.sandbox.host import remove_tree
from code_judge.sandbox.slot import Slot

_CLAIM = "CLAIM "
_NEXT_LIMITS = RunLimits(cpu_s=5, wall_s=15, memory_mb=256, output_bytes=1 << 16, output_chars=1000)
_NEXT = "import os, sys\nprint(sys.argv, sorted(os.listdir('.')), input())"


def _texts(report: Report) -> list[str]:
    files = [base64.b64decode(data).decode(errors="replace") for data in report.files.values()]
    return [report.stdout, report.stderr, *files]


def said_or_sent(scene: Scene, baits: Baits) -> list[str]:
    """Claims of the programs, secrets in what they wrote, and servers that they reached."""
    texts = [text for report in scene.reports for text in _texts(report)]
    lines = [line for report in scene.reports for line in report.stdout.splitlines()]
    found = [f"it did: {line[len(_CLAIM) :][:80]}" for line in lines if line.startswith(_CLAIM)]
    found += [f"it knew the secret in: {name}" for name, word in baits.secrets.items() if any(word in t for t in texts)]
    found += [f"it reached the {name} server" for name in sorted(baits.reached)]
    baits.reached.clear()
    return found


async def next_run(executor: Executor) -> list[str]:
    """The program that comes after an attack must be judged right."""
    report = await executor.execute(Job("next", "python", _NEXT, "fine\n", False, _NEXT_LIMITS))
    if report.outcome is Outcome.OK and report.stdout == "['main.py'] ['main.py'] fine\n":
        return []
    return [
        f"the next run went wrong: {report.outcome.value} {report.detail} {report.stdout!r} {report.stderr[-200:]!r}"
    ]


def _mounts_of(slot: Slot) -> str:
    try:
        return Path(f"/proc/{slot.pid}/mountinfo").read_text()
    except OSError:
        return ""  # it just ended, which is seen elsewhere


def _vitals(pids: Iterable[int]) -> dict[int, str]:
    """Limits, placement and priority of processes; '' for those that are gone."""
    found = dict.fromkeys(pids, "")
    for pid in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            limits = Path(f"/proc/{pid}/limits").read_text()
            ways = (os.sched_getaffinity(pid), os.sched_getscheduler(pid), os.getpriority(os.PRIO_PROCESS, pid))
            found[pid] = f"{limits} {ways}"
    return found


def _shared_memory(uid: int) -> set[str]:
    """Objects of a user that outlive processes."""
    found = set()
    for kind in ("shm", "sem", "msg"):
        head, *rows = [line.split() for line in Path("/proc/sysvipc", kind).read_text().splitlines()]
        found |= {f"{kind} {row[0]} {row[1]}" for row in rows if row[head.index("uid")] == str(uid)}
    for folder in (Path("/dev/shm"), Path("/dev/mqueue")):
        for path in folder.iterdir() if folder.is_dir() else ():
            with contextlib.suppress(OSError):  # others come and go
                found |= {str(path)} if path.lstat().st_uid == uid else set()
    return found


def _of_user(uid: int) -> set[int]:
    """Live processes of a user."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if path.stat().st_uid == uid and not _is_zombie(int(path.name)):
                found.add(int(path.name))
    return found


def take_away(folders: Iterable[str], token: str) -> list[str]:
    """Remove what attacks made outside, which they name `token`. Returns the folders where there was something."""
    found = []
    for path in (Path(folder) / token for folder in folders):
        if path.exists() or path.is_symlink():
            remove_tree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            found.append(str(path.parent))
    return found


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    return True


@dataclass(frozen=True)
class Before:
    """What there was before an attack."""

    slot: Slot
    below: frozenset[int]
    shared_memory: frozenset[str]
    mounts: str
    entries: int
    vitals: dict[int, str]

    @classmethod
    def now(cls, slot: Slot, targets: Iterable[int]) -> Before:
        """`targets`: processes whose limits and places no run may change."""
        below = frozenset(proctree.descendants(os.getpid()))
        memory = frozenset(_shared_memory(_uid(slot)))
        return cls(slot, below, memory, _mounts_of(slot), stored(slot)[1], _vitals([slot.pid, *targets]))

    def differences(self, slot: Slot | None, folders: Iterable[str], token: str) -> list[str]:
        """What there is now that was not there; files named `token` in `folders` are removed."""
        found = []
        new = set(proctree.descendants(os.getpid())) - self.below
        if self.slot.config.uid is not None:
            new |= _of_user(self.slot.config.uid) - self.below
        known = {slot.pid} if slot is not None else set()
        if any(pid not in known and not _is_zombie(pid) for pid in new):
            found.append("processes of the run live on")
        if _shared_memory(_uid(self.slot)) - self.shared_memory:
            found.append("shared memory was left")
        after = _vitals(self.vitals)
        if any(after[pid] not in ("", vital) for pid, vital in self.vitals.items()):
            found.append("limits, priority or placement of a process outside were changed")
        if slot is not None and slot is self.slot and slot.alive:
            if _mounts_of(slot) not in ("", self.mounts):
                found.append("a mount was made")
            if stored(slot)[1] > self.entries:
                found.append("files were left in the slot")
        found += [f"a file was made in {folder}" for folder in take_away(folders, token)]
        return found


def _uid(slot: Slot) -> int:
    return os.getuid() if slot.config.uid is None else slot.config.uid
