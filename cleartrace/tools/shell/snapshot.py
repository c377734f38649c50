"""A repository folder as one tar archive in memory, the form in which it enters a sandbox."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

LEFT_OUT = frozenset({".git", "__pycache__", ".pytest_cache", ".venv", "node_modules"})
MAX_BYTES = 128 << 20


class BadRepository(ValueError):
    """A folder that cannot be a task's repository."""


def pack(folder: Path) -> bytes:
    """The files below `folder` without caches and history; links stay links. Raises BadRepository."""
    if not folder.is_dir():
        raise BadRepository(f"{folder}: there is no such folder; write the task rows again on this machine")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            if LEFT_OUT.isdisjoint(relative.parts):
                archive.add(path, arcname=str(relative), recursive=False, filter=_anonymous)
            if buffer.tell() > MAX_BYTES:
                raise BadRepository(f"{folder}: more than {MAX_BYTES >> 20} MiB; use a container image for it")
    return buffer.getvalue()


def pack_files(files: Mapping[str, str]) -> bytes:
    """Text files by path as a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            data = text.encode()
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Without owner and time; devices, pipes and sockets stay outside."""
    if not (info.isreg() or info.isdir() or info.issym()):
        return None
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 1_000_000_000
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    return info


@lru_cache(maxsize=64)
def packed(folder: str) -> bytes:
    """`pack`, kept: the rollouts of one task share the archive."""
    return pack(Path(folder))
