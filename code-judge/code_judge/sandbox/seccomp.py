"""The system call filter of a slot: everything is allowed but what reaches outside a run.

A denied call answers EPERM, or ENOSYS where a library then falls back to a call that is judged by its arguments.
"""

from __future__ import annotations

import errno
import platform
import struct

_LD_W_ABS, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NR, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24
_X32_BIT = 0x40000000
_NAMESPACE_FLAGS = 0x7E020000 | 0x80  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET} and CLONE_NEWTIME

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
# x86_64, aarch64. Calls from 424 on have one number everywhere.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "setns": (308, 268), "unshare": (272, 97), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "quotactl": (179, 60), "acct": (163, 89),
    "syslog": (103, 116), "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266),
    "adjtimex": (159, 171), "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, None),
    "ioperm": (173, None), "lookup_dcookie": (212, 18), "vhangup": (153, 58), "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263), "inotify_init": (253, None), "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27), "inotify_rm_watch": (255, 28),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "shmdt": (67, 197), "semget": (64, 190),
    "semop": (65, 193), "semtimedop": (220, 192), "semctl": (66, 191), "msgget": (68, 186), "msgsnd": (69, 189),
    "msgrcv": (70, 188), "msgctl": (71, 187), "mq_open": (240, 180), "mq_unlink": (241, 181),
    "mq_timedsend": (242, 182), "mq_timedreceive": (243, 183), "mq_notify": (244, 184), "mq_getsetattr": (245, 185),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "mount_setattr": (442, 442), "quotactl_fd": (443, 443), "memfd_secret": (447, 447),
    "statmount": (457, 457), "listmount": (458, 458), "open_tree_attr": (467, 467),
}  # fmt: skip
_MEMFD_CREATE = (319, 279)
# Attributes of files: Landlock leaves them to the owner.
_ATTRIBUTES: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469), "utime": (132, None),
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
}  # fmt: skip
# Calls with a kind, of which one is a single process, and its number, 0 for the caller itself.
_OF_A_KIND = {"setpriority": ((141, 140), 0), "ioprio_set": ((251, 30), 1)}
# Allowed only on oneself (0): without a user of its own a run could change its slot for later runs. The process is the
# first argument, or the second one.
_OWN_FIRST = {
    "prlimit64": (302, 261), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "migrate_pages": (256, 238), "move_pages": (279, 239),
}  # fmt: skip
_OWN_SECOND = {"setpriority": (141, 140), "ioprio_set": (251, 30)}


def _op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def supported() -> bool:
    """Whether the filter knows this architecture."""
    return platform.machine() in _AUDIT_ARCH


def build_filter(allow_memfd: bool, machine: str | None = None) -> bytes:
    """The BPF program. `allow_memfd`: only where a cgroup counts such memory. KeyError for another architecture."""
    name = machine or platform.machine()
    column = list(_AUDIT_ARCH).index(name)
    denied = sorted(number for pair in _DENIED.values() if (number := pair[column]) is not None)
    if not allow_memfd:
        denied.append(_MEMFD_CREATE[column])
    deny = _op(_RET, _ERRNO | errno.EPERM)
    program = [
        _op(_LD_W_ABS, _ARCH),
        _op(_JEQ, _AUDIT_ARCH[name], 1, 0),
        _op(_RET, _KILL),
        _op(_LD_W_ABS, _NR),
        _op(_JGE, _X32_BIT, 0, 1),
        deny,
        _op(_JEQ, _CLONE3, 0, 1),
        _op(_RET, _ERRNO | errno.ENOSYS),
        _op(_JEQ, _CLONE[name], 0, 4),
        _op(_LD_W_ABS, _ARG0),
        _op(_JSET, _NAMESPACE_FLAGS, 0, 1),
        deny,
        _op(_RET, _ALLOW),
    ]
    for calls, argument in ((_OWN_FIRST, _ARG0), (_OWN_SECOND, _ARG1)):
        for numbers in calls.values():
            program += [_op(_JEQ, numbers[column], 0, 4), _op(_LD_W_ABS, argument), _op(_JEQ, 0, 0, 1)]
            program += [_op(_RET, _ALLOW), deny]
    for index, number in enumerate(denied):
        program.append(_op(_JEQ, number, len(denied) - index, 0))
    return b"".join([*program, _op(_RET, _ALLOW), deny])


def build_same_user_filter(file_attributes: bool, machine: str | None = None) -> bytes:
    """A further BPF program for runs that share their user with the worker: what that user may do to its own things.

    Denies the priority of all processes of a user, and with `file_attributes` changes of mode, owner, times and
    extended attributes of any file. KeyError for another architecture.
    """
    name = machine or platform.machine()
    column = list(_AUDIT_ARCH).index(name)
    allow, deny = _op(_RET, _ALLOW), _op(_RET, _ERRNO | errno.EPERM)
    program = [_op(_LD_W_ABS, _ARCH), _op(_JEQ, _AUDIT_ARCH[name], 1, 0), _op(_RET, _KILL), _op(_LD_W_ABS, _NR)]
    for pair in _ATTRIBUTES.values() if file_attributes else ():
        if (number := pair[column]) is not None:
            program += [_op(_JEQ, number, 0, 1), deny]
    for pair, single in _OF_A_KIND.values():
        kind = [_op(_LD_W_ABS, _ARG0), _op(_JEQ, single, 0, 2)]
        program += [_op(_JEQ, pair[column], 0, 6), *kind, _op(_LD_W_ABS, _ARG1), _op(_JEQ, 0, 1, 0), deny, allow]
    return b"".join([*program, allow])
