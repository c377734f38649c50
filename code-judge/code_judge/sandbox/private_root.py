"""The root directory of a slot with a mount namespace: system trees read-only, one small writable file system.

The writable part, at `/box/w`, is a tmpfs of limited bytes and inodes; `/tmp` and `/dev/shm` lead into it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from code_judge.sandbox.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    detach,
    mount,
    pivot_root,
)

WRITABLE = Path("/box/w")
WORK, TEMPORARY, SHARED = WRITABLE / "work", WRITABLE / "tmp", WRITABLE / "shm"
SYSTEM_TREES = tuple(Path(name) for name in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"))
ETC_ENTRIES = ("ld.so.cache", "alternatives", "localtime", "mime.types")
DEVICES = ("null", "zero", "full", "urandom", "random")
_STATVFS_TO_MOUNT = ((os.ST_NODEV, MS_NODEV), (os.ST_NOSUID, MS_NOSUID), (os.ST_NOEXEC, MS_NOEXEC))


def outermost(paths: Iterable[Path]) -> list[Path]:
    """Existing paths that lie beneath no other of them."""
    kept: list[Path] = []
    for path in sorted({path for path in paths if path.exists()}):
        if not any(path.is_relative_to(other) for other in kept):
            kept.append(path)
    return kept


def _bind(source: Path, target: Path, read_only: bool = True) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(str(source), str(target), None, MS_BIND | MS_REC)
    if read_only:
        # Flags that a user namespace locks must be repeated, or the kernel refuses the remount.
        held = os.statvfs(source).f_flag
        flags = MS_NOSUID | MS_NODEV
        for one, other in _STATVFS_TO_MOUNT:
            flags |= other if held & one else 0
        mount("none", str(target), None, MS_BIND | MS_REMOUNT | MS_RDONLY | flags)


def _etc(root: Path, uid: int) -> None:
    for name in ETC_ENTRIES:
        if (source := Path("/etc") / name).exists():
            _bind(source.resolve(), root / "etc" / name)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(f"runner:x:{uid}:{uid}::{WORK}:/bin/sh\n")
    (root / "etc/group").write_text(f"runner:x:{uid}:\n")


def _dev(root: Path) -> None:
    for name in DEVICES:
        _bind(Path("/dev") / name, root / "dev" / name, read_only=False)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (root / "dev" / name).symlink_to(target)
    (root / "dev/shm").symlink_to(SHARED)


def _views(trees: Iterable[Path], hidden: Iterable[Path]) -> set[Path]:
    """Where hidden paths are seen: a tree that is named by a link shows at that name what lies elsewhere."""
    real = [(tree, tree.resolve()) for tree in trees]
    return {
        tree / path.resolve().relative_to(at)
        for path in hidden
        for tree, at in real
        if path.resolve().is_relative_to(at)
    }


def enter(stage: Path, trees: Iterable[Path], hidden: Iterable[Path], uid: int, megabytes: int, inodes: int) -> None:
    """Build the root on the directory `stage` and pivot into it. Needs a mount namespace of one's own.

    `trees` appear read-only at their own paths; `hidden` ones are covered by empty directories. `uid` owns the
    writable part. Raises OSError.
    """
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", str(stage), "tmpfs", MS_NOSUID | MS_NODEV, "size=2m,mode=755")
    for tree in SYSTEM_TREES:
        if tree.is_symlink():
            (stage / tree.relative_to("/")).symlink_to(os.readlink(tree))
    links = [tree for tree in SYSTEM_TREES if tree.is_symlink()]
    all_trees = outermost([*(t for t in SYSTEM_TREES if t not in links), *trees])
    shown = [tree for tree in all_trees if not any(tree.is_relative_to(link) for link in links)]
    for tree in shown:
        _bind(tree, stage / tree.relative_to("/"))
    for inside in _views(shown, hidden):
        cover = stage / inside.relative_to("/")
        if cover.is_dir():
            mount("tmpfs", str(cover), "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "size=4k,mode=755")
    _etc(stage, uid)
    _dev(stage)
    (stage / "proc").mkdir()
    mount("proc", str(stage / "proc"), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    box = stage / WRITABLE.relative_to("/")
    box.mkdir(parents=True)
    mount("tmpfs", str(box), "tmpfs", MS_NOSUID | MS_NODEV, f"size={megabytes}m,nr_inodes={inodes},mode=755")
    for path in (WORK, TEMPORARY, SHARED):
        own = stage / path.relative_to("/")
        own.mkdir(mode=0o700)
        os.chown(own, uid, uid)
    (stage / "tmp").symlink_to(TEMPORARY)
    (stage / "var").mkdir()
    (stage / "var/tmp").symlink_to(TEMPORARY)
    os.chdir(stage)
    pivot_root(".", ".")
    detach(".")
    mount("none", "/", None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.chdir(WORK)
