"""Docker's default system call filter, as the OCI runtime is given it. Used by container_bundle.py.

Follows the profile of moby 28 (`profiles/seccomp/default_linux.go`) for x86_64. That file lists what is allowed; here
stands what it leaves out of the calls that the kernel headers name, which is shorter and easier to check. Calls newer
than the headers are refused, as they are by Docker on such a machine.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

HEADERS = tuple(Path(f"/usr/include/x86_64-linux-gnu/asm/unistd_{bits}.h") for bits in (64, 32))
AF_VSOCK = 40
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
NEW_NAMESPACES = 0x7E020000


def _words(text: str) -> list[str]:
    return text.split()


NEVER = _words("""
    _sysctl afs_syscall bdflush break create_module ftime get_kernel_syms getpmsg gtty idle
    io_uring_enter io_uring_register io_uring_setup kexec_file_load kexec_load add_key keyctl request_key lock
    migrate_pages move_pages mpx nfsservctl nice oldfstat oldlstat oldolduname oldstat olduname pivot_root prof profil
    putpmsg query_module readdir security sgetmask sigaction signal sigpending sigsuspend ssetmask stty swapoff swapon
    sysfs tuxcall ulimit uselib userfaultfd ustat vm86 vm86old vserver
""")
WITH_CAPABILITY = {
    "CAP_SYS_ADMIN": _words("""
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount
        open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
    """),
    "CAP_BPF": ["bpf"],
    "CAP_DAC_READ_SEARCH": ["open_by_handle_at"],
    "CAP_PERFMON": ["perf_event_open"],
    "CAP_SYS_BOOT": ["reboot"],
    "CAP_SYS_CHROOT": ["chroot"],
    "CAP_SYSLOG": ["syslog"],
    "CAP_SYS_MODULE": ["delete_module", "finit_module", "init_module"],
    "CAP_SYS_NICE": ["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"],
    "CAP_SYS_PACCT": ["acct"],
    "CAP_SYS_PTRACE": ["kcmp", "pidfd_getfd", "process_madvise"],
    "CAP_SYS_RAWIO": ["ioperm", "iopl"],
    "CAP_SYS_TIME": ["clock_settime", "clock_settime64", "settimeofday", "stime"],
    "CAP_SYS_TTY_CONFIG": ["vhangup"],
}
BY_ARGUMENT = ("clone", "clone3", "personality", "socket")


def refused(capabilities: Collection[str]) -> set[str]:
    """Calls that are not allowed at all with these capabilities; those judged by an argument are not among them."""
    given = {call for name in capabilities for call in WITH_CAPABILITY.get(name, ())}
    held = {call for calls in WITH_CAPABILITY.values() for call in calls} - given
    return {*NEVER, *held} - set(BY_ARGUMENT)


def _allow(names: Collection[str], *arguments: dict[str, Any]) -> dict[str, Any]:
    return {"names": sorted(names), "action": "SCMP_ACT_ALLOW", "args": list(arguments)}


def _first(value: int, test: str, second: int = 0) -> dict[str, Any]:
    return {"index": 0, "value": value, "valueTwo": second, "op": f"SCMP_CMP_{test}"}


def default_profile(capabilities: Collection[str], extra: Collection[str] = ()) -> dict[str, Any]:
    """The `seccomp` part of an OCI configuration; `extra` calls are allowed too.

    Raises FileNotFoundError without the kernel's headers.
    """
    known = {name for path in HEADERS for name in re.findall(r"#define __NR_(\w+) ", path.read_text())}
    rules = [
        _allow((known - refused(capabilities) - set(BY_ARGUMENT)) | set(extra)),
        _allow(["socket"], _first(AF_VSOCK, "NE")),
        *(_allow(["personality"], _first(value, "EQ")) for value in PERSONALITIES),
    ]
    if "CAP_SYS_ADMIN" in capabilities:
        rules.append(_allow(["clone", "clone3"]))
    else:
        rules.append(_allow(["clone"], _first(NEW_NAMESPACES, "MASKED_EQ")))
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EPERM,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    }
