"""Run directories of services that were killed: each live one holds a lock, and the next to start removes the rest."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from pathlib import Path

from code_judge.sandbox.host import remove_tree

log = logging.getLogger(__name__)
PREFIX = "code-judge-"
LOCK = "in-use"
YOUNG_S = 60.0
"""What is younger is left alone: its service may be just about to take the lock."""


def take(directory: Path) -> int:
    """Lock a run directory that its service removes at its end. The lock lasts while a copy of this fd is open."""
    fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.utime(fd)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def _is_left(directory: int, lock: int) -> bool:
    """Whether an open directory with an open lock is ours, old, and nobody's. Takes the lock if it is free."""
    facts = os.fstat(lock)
    if os.fstat(directory).st_uid != os.geteuid() or facts.st_uid != os.geteuid():
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return time.time() - os.fstat(lock).st_mtime > YOUNG_S


def _remove_if_left(path: Path) -> None:
    with contextlib.ExitStack() as opened:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        opened.callback(os.close, directory)
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        lock = os.open(LOCK, flags, dir_fd=directory)
        opened.callback(os.close, lock)
        if _is_left(directory, lock):
            remove_tree(path)
            log.warning("removed %s, which a killed service had left", path)


def sweep(parent: Path) -> None:
    """Remove the run directories in `parent` that killed services of this user left. What resists is logged."""
    for path in sorted(parent.glob(f"{PREFIX}*")):
        try:
            _remove_if_left(path)
        except (FileNotFoundError, NotADirectoryError):  # gone meanwhile, or without a lock: not such a directory
            continue
        except OSError as error:
            log.info("left %s alone: %s", path, error)
