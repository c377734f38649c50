"""Attacks on time, memory, processes, disk and output."""

from __future__ import annotations

from dataclasses import replace

from code_judge.attack import checks as held
from code_judge.attack.model import LIMITS, Attack
from code_judge.jobs import Outcome

_SHORT_CPU = replace(LIMITS, cpu_s=0.4)
_SHORT_WALL = replace(LIMITS, wall_s=0.8)
_TIME = held.outcome(Outcome.TIME_LIMIT)
_CPU = (held.outcome(Outcome.TIME_LIMIT, detail="cpu"), held.cpu_stopped)
_WALL = (held.outcome(Outcome.TIME_LIMIT, detail="wall"), held.wall_stopped)
_DEEP_HELD = held.outcome(Outcome.TIME_LIMIT, Outcome.OUTPUT_LIMIT)
_MEMORY = (held.memory_held, held.outcome(Outcome.MEMORY_LIMIT))

# Loops and sleeps end by themselves, for the case that nothing else ends them.
_SPIN = """
end = time.process_time() + 3
while time.process_time() < end: pass
"""
_SLEEP = "\ntime.sleep(5)\n"
_IGNORE = """
for number in range(1, 65):
    attempt(signal.signal, number, signal.SIG_IGN)
"""
_NAMELESS = """
libc.prctl(15, b"\\xff\\xfe)", 0, 0, 0)
"""
_DEEP = """
for _ in range(20):
    os.mkdir("d" * 250)
    os.chdir("d" * 250)
open("hidden", "w").write("x" * 1000)
"""
_RAISE_LIMITS = """
import resource
for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_DATA"):
    for limits in ((-1, -1), (1 << 40, 1 << 40), (resource.getrlimit(getattr(resource, name))[1],) * 2):
        attempt(resource.setrlimit, getattr(resource, name), limits)
        attempt(resource.prlimit, os.getpid(), getattr(resource, name), limits)
"""
_FILL = """
hold = []
for _ in range(22):
    hold.append(b"x" * (64 << 20))
    time.sleep(0.01)
time.sleep(0.5)
"""
_FIVE_FORKS = """
for _ in range(5):
    if os.fork() == 0:
        hold = b"x" * (250 << 20)
        time.sleep(1.5)
        os._exit(0)
time.sleep(1.5)
"""
_FIVE_SHARED = """
import mmap
for _ in range(5):
    if os.fork() == 0:
        hold = mmap.mmap(-1, 250 << 20)
        for start in range(0, len(hold), 4096):
            hold[start] = 1
        time.sleep(1.5)
        os._exit(0)
time.sleep(1.5)
"""
_UNNAMED = """
for number in range(40):
    fd = os.memfd_create(str(number))
    block = b"x" * (1 << 20)
    for _ in range(30):
        os.write(fd, block)
time.sleep(0.5)
"""
_BOMB = """
me = os.getpid()
for _ in range(7):
    attempt(os.fork)
if os.getpid() != me:
    time.sleep(2)
    os._exit(0)
time.sleep(0.3)
os.fork()
time.sleep(0.3)
"""
_MANY_FORKS = """
for _ in range(200):
    if os.fork() == 0:
        time.sleep(2)
        os._exit(0)
time.sleep(0.3)
"""
_THREADS = """
import threading
threading.stack_size(1 << 15)
try:
    for _ in range(3000):
        threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
except RuntimeError:
    pass
time.sleep(0.3)
os._exit(0)
"""
_ORPHANS_SPIN = """
for _ in range(40):
    if os.fork() == 0:
        if os.fork() == 0:
            end = time.process_time() + 0.1
            while time.process_time() < end: pass
        os._exit(0)
    os.wait()
    time.sleep(0.06)
"""
_FORGOTTEN = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel forgets what such children used
for _ in range(20):
    if os.fork() == 0:
        end = time.process_time() + 0.2
        while time.process_time() < end: pass
        os._exit(0)
    attempt(os.wait)
"""
_DISK = """
block = b"x" * (1 << 20)
for number in range(20):
    with open(f"big{number}", "wb", buffering=0) as file:
        for _ in range(20):
            file.write(block)
time.sleep(0.3)
"""
_BIG_FILE = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
block = b"x" * (1 << 20)
for number in range(20):
    with open(f"big{number}", "wb", buffering=0) as file:
        for _ in range(100 if number == 0 else 30):
            if not attempt(file.write, block):
                break
    time.sleep(0.05)
"""
_MANY_FILES = """
for number in range(20000):
    os.close(os.open(f"f{number}", os.O_CREAT))
time.sleep(0.3)
"""
_FLOOD = """
block = b"y" * 65536
for _ in range(8000):
    os.write(1, block)
"""
_TWO_FLOODS = """
os.fork()
for _ in range(2500):
    sys.stdout.write("y" * 65536)
    sys.stderr.write("z" * 65536)
"""
_TRICKLE = """
for _ in range(50):
    print(".", flush=True)
    time.sleep(0.1)
"""
_RECURSE = """
sys.setrecursionlimit(1 << 30)
if os.fork() == 0:
    def f(n): return f(n + 1) + 1
    f(0)
os.wait()
x = []
for _ in range(1000000):
    x = [x]
repr(x)
"""
_FLOODS = (held.outcome(Outcome.OUTPUT_LIMIT), held.supervisor_small, held.output_kept_short)

ATTACKS = [
    Attack("A1", "endless loop", (_SPIN,), _CPU, _SHORT_CPU),
    Attack("A2", "1.4 GB in one process", (_FILL,), (*_MEMORY, held.slot_kept)),
    Attack(
        "A3", "endless recursion, in Python and in C", (_RECURSE,),
        (held.outcome(Outcome.RUNTIME_ERROR, Outcome.MEMORY_LIMIT), held.slot_kept, held.memory_held),
    ),
    Attack("A5", "close every descriptor, then sleep", ("\nos.closerange(0, 256)" + _SLEEP,), _WALL, _SHORT_WALL),
    Attack("A6", "take alarms away, then sleep", ("\nsignal.alarm(0)" + _SLEEP,), _WALL, _SHORT_WALL),
    Attack("A7", "ignore all signals, then sleep", (_IGNORE + _SLEEP,), _WALL, _SHORT_WALL),
    Attack("A8", "raise the memory limit, then use it", (_RAISE_LIMITS + _FILL,), (*_MEMORY, held.limits_kept)),
    Attack("A9", "five processes of 250 MB each", (_FIVE_FORKS,), (held.memory_held,)),
    Attack(
        "A10", "processes that double themselves", (_BOMB,),
        (held.processes_held, held.outcome(Outcome.PROCESS_LIMIT)),
    ),
    Attack("A24", "400 MB of files", (_DISK,), (held.disk_held,)),
    Attack("A26", "500 MB of output", (_FLOOD,), _FLOODS),
    Attack("B19", "raise every limit", (_RAISE_LIMITS + "\ntime.sleep(0.3)\n",), (held.limits_kept,)),
    Attack("B20", "1.4 GB after a try at the limits", (_IGNORE + _RAISE_LIMITS + _FILL,), _MEMORY),
    Attack("B21", "a file of 100 MB, and 600 MB in files", (_BIG_FILE,), (held.file_size_held, held.disk_held)),
    Attack("B22", "20,000 files", (_MANY_FILES,), (held.entries_held,)),
    Attack(
        "B23", "200 processes", (_MANY_FORKS,), (held.processes_held, held.outcome(Outcome.PROCESS_LIMIT))
    ),
    Attack("B25", "ignore all signals, then loop", (_IGNORE + _SPIN,), _CPU, _SHORT_CPU),
    Attack("B26", "320 MB on both streams from two processes", (_TWO_FLOODS,), _FLOODS),
    Attack("C2", "1.2 GB in unnamed memory files", (_UNNAMED,), (held.memory_held,)),
    Attack("C6", "output that trickles for ever", (_TRICKLE,), _WALL, _SHORT_WALL),
    Attack("D1", "use CPU in orphans that end soon", (_ORPHANS_SPIN,), (_TIME, held.cpu_stopped), _SHORT_CPU),
    Attack("D2", "1.2 GB of shared memory in five processes", (_FIVE_SHARED,), (held.memory_held,)),
    Attack("D3", "3,000 threads", (_THREADS,), (held.threads_held,)),
    Attack("D6", "use CPU in children that nobody waits for", (_FORGOTTEN,), (_TIME, held.forgotten_cpu), _SHORT_CPU),
    Attack("D10", "a process name that is no text", (_NAMELESS + _SLEEP,), _WALL, _SHORT_WALL),
    Attack("D11", "folders too deep to look into", (_DEEP + _SLEEP,), (_DEEP_HELD, held.wall_stopped), _SHORT_WALL),
]  # fmt: skip
