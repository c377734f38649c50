"""File, TCP, signal and abstract-socket restrictions that need no privilege (Landlock)."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from code_judge.sandbox import syscalls

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_V1, _REFER, _TRUNCATE, _IOCTL_DEV = (1 << 13) - 1, 1 << 13, 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
_FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | _IOCTL_DEV
_NET_TCP = 0b11
_SCOPE_ABSTRACT, _SCOPE_SIGNAL = 1, 2


def file_rights(abi: int) -> int:
    """All file rights that a kernel of this version can withhold."""
    rights = _V1
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        rights |= right if abi >= since else 0
    return rights


@dataclass(frozen=True)
class Paths:
    """What a domain may reach: trees to read and execute, trees of which only the names are seen, trees to change,
    single device files to read and write.
    """

    read: tuple[Path, ...] = ()
    listed: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = tuple(Path("/dev") / name for name in ("null", "zero", "full", "urandom", "random"))


def _attributes(abi: int, rights: int) -> bytes:
    attributes = struct.pack("=Q", rights)
    if abi >= 4:
        attributes += struct.pack("=Q", _NET_TCP)
    if abi >= 6:
        attributes += struct.pack("=Q", _SCOPE_ABSTRACT | _SCOPE_SIGNAL)
    return attributes


def _allow(ruleset: int, rules: Mapping[int, Iterable[Path]], rights: int) -> None:
    for access, paths in rules.items():
        for path in paths:
            if not path.exists():
                continue
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                is_dir = stat.S_ISDIR(os.fstat(fd).st_mode)
                syscalls.landlock_allow(ruleset, access & rights & (-1 if is_dir else _FILE_RIGHTS), fd)
            finally:
                os.close(fd)


def restrict_paths(paths: Paths) -> None:
    """Confine this process and its children for good. Raises OSError. Call after `no_new_privs`."""
    abi = syscalls.landlock_abi()
    rights = file_rights(abi)
    ruleset = syscalls.landlock_create(_attributes(abi, rights))
    try:
        rules = {
            READ: paths.read,
            READ_DIR: paths.listed,
            rights & ~_IOCTL_DEV: paths.write,
            WRITE_FILE | READ_FILE | _TRUNCATE: paths.devices,
        }
        _allow(ruleset, rules, rights)
        syscalls.landlock_restrict(ruleset)
    finally:
        os.close(ruleset)


def signal_domain() -> bytes:
    """Attributes of a further domain for each run, which withholds signals to what is outside it; b'' before ABI 6."""
    return struct.pack("=QQQ", 0, 0, _SCOPE_SIGNAL) if syscalls.landlock_abi() >= 6 else b""
