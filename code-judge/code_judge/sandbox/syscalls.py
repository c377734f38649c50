"""The Linux calls that the standard library of Python 3.10 lacks, by ctypes. All raise OSError."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 0x1, 0x2, 0x4, 0x8, 0x20
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 4, 22, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_SECCOMP_MODE_FILTER = 2
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
# These three have one number on every architecture.
_SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_ADD, _SYS_LANDLOCK_RESTRICT = 444, 445, 446

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave namespaces (EPERM without the capability)."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, fstype: str | None, flags: int, data: str | None = None) -> None:
    """mount(2). The error names the target."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        fstype.encode() if fstype else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    _check(result, f"mount on {target}")


def detach(target: str) -> None:
    """Unmount lazily."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount of {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    """Make `new_root` the root of this mount namespace."""
    number = _SYS_PIVOT_ROOT[platform.machine()]
    _check(_libc.syscall(ctypes.c_long(number), new_root.encode(), put_old.encode()), "pivot_root")


def _prctl(option: int, value: int, what: str, pointer: object = 0) -> None:
    _check(_libc.prctl(option, value, pointer, 0, 0), f"prctl({what})")


def no_new_privs() -> None:
    """No exec of this process or its children gains privileges."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "PR_SET_NO_NEW_PRIVS")


def die_with_parent(signal_number: int) -> None:
    """Be signalled when the parent thread ends. Cleared by a change of uid: call it after that."""
    _prctl(_PR_SET_PDEATHSIG, signal_number, "PR_SET_PDEATHSIG")


def set_dumpable() -> None:
    """Own the entries of /proc/self again, after a change of user gave them to root."""
    _prctl(_PR_SET_DUMPABLE, 1, "PR_SET_DUMPABLE")


@contextlib.contextmanager
def files_as(uid: int) -> Iterator[None]:
    """What this thread does with files is done as user and group `uid`. Raises OSError where that is not allowed."""
    before, group_before = _libc.setfsuid(-1), _libc.setfsgid(-1)
    _libc.setfsgid(uid)
    _libc.setfsuid(uid)
    try:
        if _libc.setfsuid(-1) != uid:
            raise OSError(errno.EPERM, f"setfsuid({uid})")
        yield
    finally:
        _libc.setfsuid(before)
        _libc.setfsgid(group_before)


def become_subreaper() -> None:
    """Orphaned descendants become children of this process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, "PR_SET_CHILD_SUBREAPER")


def drop_bounding(capability: int) -> None:
    """No exec gives this capability again. EINVAL for a number that the kernel does not know."""
    _prctl(_PR_CAPBSET_DROP, capability, "PR_CAPBSET_DROP")


def install_filter(program: bytes) -> None:
    """Install a seccomp BPF program (8 bytes an instruction). Needs `no_new_privs` or CAP_SYS_ADMIN."""
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, "PR_SET_SECCOMP", ctypes.c_char_p(header))


def landlock_abi() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    return max(0, _libc.syscall(ctypes.c_long(_SYS_LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def landlock_create(attributes: bytes) -> int:
    """A ruleset's descriptor; `attributes` is a struct landlock_ruleset_attr of the kernel's version."""
    result = _libc.syscall(
        ctypes.c_long(_SYS_LANDLOCK_CREATE), attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)
    )
    return _check(result, "landlock_create_ruleset")


def landlock_allow(ruleset: int, access: int, directory: int) -> None:
    """Allow `access` beneath the open path `directory`."""
    rule = struct.pack("=Qi", access, directory)
    _check(
        _libc.syscall(
            ctypes.c_long(_SYS_LANDLOCK_ADD), ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0)
        ),
        "landlock_add_rule",
    )


def landlock_restrict(ruleset: int) -> None:
    """Enter the ruleset for good."""
    _check(
        _libc.syscall(ctypes.c_long(_SYS_LANDLOCK_RESTRICT), ctypes.c_int(ruleset), ctypes.c_uint32(0)),
        "landlock_restrict_self",
    )
