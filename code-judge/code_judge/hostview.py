"""Makes an interpreter under a private directory reachable by unprivileged uids.

A root-owned Python often lives below a directory of mode 0700 (/root). In a mount namespace of the worker only,
that directory is replaced by an empty one that holds just the trees a run needs, at their own paths.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from code_judge.syscalls import CLONE_NEWNS, MS_BIND, MS_NODEV, MS_NOSUID, MS_PRIVATE, MS_REC, mount, unshare


def private_ancestor(path: Path) -> Path | None:
    """The topmost ancestor of `path` that others may not traverse."""
    for ancestor in [*reversed(path.parents), path]:
        if ancestor.is_dir() and not ancestor.stat().st_mode & 0o001:
            return ancestor
    return None


def group_hidden(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """Existing `paths` that lie below a private directory, by that directory; nested ones dropped."""
    groups: dict[Path, list[Path]] = {}
    for path in sorted({path.resolve() for path in paths if path.exists()}):
        ancestor = private_ancestor(path)
        if ancestor is None or ancestor == path:
            continue
        kept = groups.setdefault(ancestor, [])
        if not any(path.is_relative_to(other) for other in kept):
            kept.append(path)
    return groups


def expose(paths: Iterable[Path]) -> list[Path]:
    """Apply the replacement to this process and its children. Returns the replaced directories.

    Raises OSError where namespaces or mounts are not permitted.
    """
    groups = group_hidden(paths)
    if not groups:
        return []
    unshare(CLONE_NEWNS)
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    for ancestor, kept in groups.items():
        held = [(path, os.open(path, os.O_PATH)) for path in kept]
        mount("tmpfs", str(ancestor), "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
        for path, fd in held:
            if os.path.isdir(f"/proc/self/fd/{fd}"):
                path.mkdir(parents=True, mode=0o755, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, mode=0o755, exist_ok=True)
                path.touch()
            mount(f"/proc/self/fd/{fd}", str(path), None, MS_BIND | MS_REC)
            os.close(fd)
    return list(groups)
