"""Makes slots at a given level on this host."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from code_judge.sandbox import landlock, private_root, seccomp
from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.interpreter import Interpreter
from code_judge.sandbox.kinds import Kind
from code_judge.sandbox.launch import SlotConfig
from code_judge.sandbox.levels import Level
from code_judge.sandbox.slot import ANSWER, REQUEST, Slot
from code_judge.sandbox.uids import slot_uid

DISK_MB, INODES = 64, 4096
_REMOVE_TRIES, _REMOVE_PAUSE_S = 40, 0.05


@dataclass(frozen=True)
class Means:
    """How a level is reached: by which identity, and whether through a user namespace."""

    level: Level
    own_uid: bool
    user_namespace: bool = False


def clean_environment(work: Path, temporary: Path) -> dict[str, str]:
    """All that a run sees. One hash seed for all runs keeps a program's output the same each time."""
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(work),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        **threads,
    }


@dataclass
class Host:
    """`base_dir`: a private directory that others may traverse. Belongs to one supervisor."""

    interpreter: Interpreter
    base_dir: Path
    cgroups: CgroupHome | None
    _numbers: itertools.count = field(default_factory=itertools.count)
    _free_uids: list[int] = field(default_factory=list)

    def _uid(self) -> int:
        if not self._free_uids:
            self._free_uids = [slot_uid(os.getpid(), index) for index in range(63, -1, -1)]
        return self._free_uids.pop()

    def make(self, means: Means, kind: Kind) -> Slot:
        """A slot that is not started yet. Raises OSError."""
        number = next(self._numbers)
        stage = self.base_dir / f"slot-{number}"
        stage.mkdir(mode=0o711)
        uid = self._uid() if means.own_uid else None
        root = means.level.has_namespaces
        work, temporary = (private_root.WORK, private_root.TEMPORARY) if root else (stage / "work", stage / "tmp")
        scratch = [str(temporary), str(private_root.SHARED)] if root else [str(temporary)]
        if not root:
            for path in (work, temporary):
                path.mkdir(mode=0o700)
        if uid is not None:
            for path in (stage,) if means.user_namespace else () if root else (work, temporary):
                os.chown(path, uid, uid)
        inner = None if means.user_namespace else uid
        same_user = b""
        if inner is None and means.level >= Level.L1:
            same_user = seccomp.build_same_user_filter(file_attributes=not root)
        group = None
        if means.level is Level.L3 and self.cgroups is not None:
            group = self.cgroups.make(f"code-judge-{os.getpid()}-{number}")
        config = SlotConfig(
            level=means.level.name,
            python=self.interpreter.executable,
            trees=[str(tree) for tree in self.interpreter.trees],
            hidden=[str(path) for path in self.interpreter.hidden],
            stage=str(stage),
            zygote={
                "work": str(work),
                "scratch": scratch,
                "uid": inner,
                "pid_one": root,
                "nested": landlock.signal_domain().hex() if inner is None and means.level >= Level.L1 else "",
                "run_filter": same_user.hex(),
                "preload": kind.preload,
                "request": REQUEST.format,
                "answer": ANSWER.format,
            },
            uid=uid,
            user_namespace=means.user_namespace,
            groups=group.entries() if group is not None else [],
            environment=clean_environment(work, temporary),
            disk_mb=DISK_MB,
            inodes=INODES,
        )
        by_uid = inner is not None or means.user_namespace
        return Slot(config, group, watch_disk=None if root else stage, limit_by_uid=by_uid)

    def dispose(self, slot: Slot) -> None:
        """Close a slot and remove what it had. Raises OSError when something stays."""
        slot.close()
        if slot.config.uid is not None:
            self._free_uids.append(slot.config.uid)
        remove_tree(Path(slot.config.stage))


def remove_tree(path: Path) -> None:
    """Remove a directory whatever modes a run left; links are not followed. Raises OSError when it stays.

    Processes that are just ending may still take their own files away, or leave new ones.
    """
    for _ in range(_REMOVE_TRIES):
        try:
            return _remove_tree(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
        if not path.exists():
            return
        time.sleep(_REMOVE_PAUSE_S)
    _remove_tree(path)


def _remove_tree(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except PermissionError:
        path.chmod(0o700)
        for root, directories, _ in os.walk(path):
            for name in directories:
                if not os.path.islink(os.path.join(root, name)):
                    with contextlib.suppress(FileNotFoundError):
                        os.chmod(os.path.join(root, name), 0o700)
        shutil.rmtree(path)
