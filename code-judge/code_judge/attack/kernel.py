"""Attacks through parts of the kernel: namespaces, rings, foreign call numbers, objects that outlive processes."""

from __future__ import annotations

from code_judge.attack import checks as held
from code_judge.attack.model import Attack

_FLAGS = """
FLAGS = {"mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
         "pid": 0x20000000, "net": 0x40000000, "user and net": 0x50000000, "user and mount": 0x10020000, "time": 0x80}
def hold():
    time.sleep(0.25)
    os._exit(0)
"""
_UNSHARE = (
    _FLAGS
    + """
children = []
for name, flags in FLAGS.items():
    pid = os.fork()
    if pid == 0:
        if libc.unshare(flags) == 0:
            claim(f"unshare: {name}")
            hold()
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
for kind in ("user", "mnt", "net", "pid", "ipc", "uts"):
    for pid in (os.getppid(), 1, facts["victim"]):
        fd = attempt(os.open, f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
        if fd is not None and libc.setns(fd, 0) == 0:
            claim(f"setns: {kind} of process {pid}")
    fd = attempt(os.pidfd_open, facts["victim"])
    if fd is not None and libc.setns(fd, 0x20000) == 0:
        claim("setns by pidfd")
"""
)
_CLONE = (
    _FLAGS
    + """
for name, flags in FLAGS.items():
    if name == "time":
        continue
    if X86:
        pid = call(56, flags | signal.SIGCHLD, 0, 0, 0, 0)
    else:
        pid = call(220, flags | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        hold()
    if pid > 0:
        claim(f"clone: {name}")
    arguments = (ctypes.c_uint64 * 11)(flags, 0, 0, 0, signal.SIGCHLD)
    pid = call(435, arguments, 88)
    if pid == 0:
        hold()
    if pid > 0:
        claim(f"clone3: {name}")
time.sleep(0.1)
"""
)
_RING = """
parameters = ctypes.create_string_buffer(120)
for entries in (1, 8):
    if call(425, entries, parameters) >= 0:
        claim("an io_uring")
        time.sleep(0.1)
"""
# x32 numbers, and the calls of i386 by its own gate.
_FOREIGN = """
import mmap, struct
X32 = 0x40000000
for number, arguments in ((41, (2, 1, 0)), (101, (0x4206, os.getppid(), 0, 0)), (272, (0x10000000,)), (319, (b"x", 0))):
    result = call(X32 | number, *[ctypes.c_char_p(a) if isinstance(a, bytes) else a for a in arguments])
    if result >= 0:
        claim(f"x32 call {number}")
if call(X32 | 39) == os.getpid():
    claim("an x32 call")
page = mmap.mmap(-1, 4096, prot=7)
# push rbx; mov eax, 20 (getpid of i386); int 0x80; pop rbx; ret
page.write(b"\\x53\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\x5b\\xc3")
if os.fork() == 0:
    run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    if run() == os.getpid():
        claim("an i386 call")
    os._exit(0)
os.wait()
"""
_LEAVE = """
mark = facts["mark"].encode()
def shared():
    id = libc.shmget(0x6A6A, 4096, 0o1666)
    libc.shmat.restype = ctypes.c_void_p
    where = libc.shmat(id, None, 0) if id >= 0 else None
    if where and where != ctypes.c_void_p(-1).value:
        ctypes.memmove(where, mark, len(mark))
attempt(shared)
libc.semget(0x6A6A, 1, 0o1666)
queue = libc.msgget(0x6A6A, 0o1666)
if queue >= 0:
    libc.msgsnd(queue, ctypes.c_char_p(b"\\1\\0\\0\\0\\0\\0\\0\\0" + mark), len(mark), 0)
name = ctypes.c_char_p(b"/left")
fd = attempt(libc.shm_open, name, 66, 0o666)
attempt(os.write, fd, mark) if fd is not None and fd >= 0 else None
attempt(lambda: libc.mq_open(name, 66, 0o666, None))
for folder in ("/dev/shm", "/tmp", "/var/tmp", "/dev/mqueue", os.path.dirname(os.getcwd()), os.environ["TMPDIR"]):
    attempt(lambda: open(folder + "/left", "w").write(facts["mark"]))
    attempt(lambda: os.setxattr(folder, "user.left", mark))
attempt(os.setxattr, ".", "user.left", mark)
attempt(lambda: libc.syscall(248, b"user", b"left", mark, len(mark), -4) if X86 else None)
"""
_FIND = """
id = libc.shmget(0x6A6A, 4096, 0)
if id >= 0:
    claim("shared memory of an earlier run")
    libc.shmctl(id, 0, None)
id = libc.semget(0x6A6A, 1, 0)
if id >= 0:
    claim("semaphores of an earlier run")
    libc.semctl(id, 0, 0)
id = libc.msgget(0x6A6A, 0)
if id >= 0:
    claim("a message queue of an earlier run")
    libc.msgctl(id, 0, None)
if libc.mq_open(b"/left", 0) >= 0:
    claim("a POSIX message queue of an earlier run")
    libc.mq_unlink(b"/left")
for folder in ("/dev/shm", "/tmp", "/var/tmp", "/dev/mqueue", os.path.dirname(os.getcwd()), os.environ["TMPDIR"], "."):
    print(attempt(lambda: open(folder + "/left").read()))
    print(attempt(os.getxattr, folder, "user.left"))
    attempt(os.unlink, folder + "/left")
if X86:
    key = call(249, ctypes.c_char_p(b"user"), ctypes.c_char_p(b"left"), None, 0)
    if key > 0:
        claim("a key of an earlier run")
"""
_HOST_IPC = """
ids, buffer = facts["ipc"], ctypes.create_string_buffer(4096)
libc.shmat.restype = ctypes.c_void_p
def listed(control, *arguments):
    return any(control(index, *arguments) >= 0 for index in range(64))
if listed(libc.shmctl, 15, buffer) or listed(libc.msgctl, 13, buffer) or listed(libc.semctl, 0, 20, buffer):
    claim("a list of System V objects")
if ids:
    where = libc.shmat(ids["shm"], None, 0)
    if where not in (None, ctypes.c_void_p(-1).value):
        secrets_in(ctypes.string_at(where, 4096))
        ctypes.memmove(where, b"changed", 7)
    if libc.msgrcv(ids["msg"], buffer, 2048, 0, 0o4000) > 0:
        secrets_in(buffer.raw)
    libc.msgsnd(ids["msg"], ctypes.create_string_buffer(b"\\1" + bytes(15)), 8, 0o4000)
    libc.semop(ids["sem"], (ctypes.c_short * 3)(0, 1, 0o4000), 1)
    libc.semctl(ids["sem"], 0, 16, 7)
    for control, *arguments in ((libc.shmctl, 0, None), (libc.msgctl, 0, None)):
        control(ids["shm" if control is libc.shmctl else "msg"], *arguments)
    libc.semctl(ids["sem"], 0, 0)
if libc.mq_unlink(b"/left") == 0:
    claim("a POSIX message queue was removed")
"""
_WATCH = """
watch, marks = libc.inotify_init1(0o4000), libc.fanotify_init(0x200, 0)
for folder in (facts["bait"], facts["base_dir"]):
    if watch >= 0 and libc.inotify_add_watch(watch, folder.encode(), 0x102) >= 0:
        claim(f"the names of files that are made in {folder}")
    if marks >= 0 and libc.fanotify_mark(marks, 1, ctypes.c_uint64(0x102), -100, folder.encode()) == 0:
        claim(f"a mark on {folder}")
every = (ctypes.c_uint64 * 3)(24, 2**64 - 1, 0)  # listmount: of this namespace's root
if call(458, every, ctypes.create_string_buffer(512), 64, 0) > 0:
    claim("a list of mounts")
"""

ATTACKS = [
    Attack("B17", "a new namespace by unshare or setns", (_UNSHARE,), (held.nothing_strange,)),
    Attack("C1", "namespaces by clone and clone3", (_CLONE,), (held.nothing_strange,)),
    Attack("C3", "objects left for the next run", (_LEAVE, _FIND), (held.mark_unknown,)),
    Attack("C5", "io_uring", (_RING,), (held.nothing_strange,)),
    Attack("C7", "calls by x32 numbers and by the i386 gate", (_FOREIGN,), machine="x86_64"),
    Attack("D8", "System V objects of the host", (_HOST_IPC,)),
    Attack("D9", "watch the host's folders, list its mounts", (_WATCH,)),
]  # fmt: skip
