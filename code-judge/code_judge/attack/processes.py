"""Attacks on other processes, and processes that want to outlive their run."""

from __future__ import annotations

from code_judge.attack import checks as held
from code_judge.attack.model import Attack

_PROMPT = (held.answered_within(2.5),)
_SIGNAL_IN_EVERY_WAY = """
def send(pid, number):
    attempt(os.kill, pid, number)
    attempt(os.killpg, pid, number)
    fd = attempt(os.pidfd_open, pid)
    if fd is not None:
        attempt(signal.pidfd_send_signal, fd, number)
    info = ctypes.create_string_buffer(128)
    ctypes.memmove(info, bytes(ctypes.c_int(number)) + bytes(4) + bytes(ctypes.c_int(-1)), 12)
    tgkill, queue, tqueue = (234, 129, 297) if X86 else (131, 138, 240)
    call(tgkill, pid, pid, number)
    call(queue, pid, number, info)
    call(tqueue, pid, pid, number, info)
"""
_BY_OWNER = """
import fcntl, socket
def by_owner(pid, number):
    one, other = socket.socketpair()
    fcntl.fcntl(one, fcntl.F_SETOWN, pid)
    fcntl.fcntl(one, 10, number)  # F_SETSIG
    fcntl.fcntl(one, fcntl.F_SETFL, os.O_ASYNC)
    other.send(b"x")
"""
_KILL_VICTIM = _SIGNAL_IN_EVERY_WAY + "\nsend(facts['victim'], signal.SIGKILL)\n"
_STOP = (
    _SIGNAL_IN_EVERY_WAY + "\nfor pid in (facts['victim'], os.getppid()): send(pid, signal.SIGSTOP)\ntime.sleep(.2)\n"
)
_KILL_SIBLINGS = _SIGNAL_IN_EVERY_WAY + "\nfor pid in facts['siblings']: send(pid, signal.SIGKILL)\n"
_KILL_PARENT = (
    _SIGNAL_IN_EVERY_WAY
    + """
for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSEGV):
    send(os.getppid(), number)
time.sleep(0.1)
"""
)
_KILL_ALL = "\nos.kill(-1, signal.SIGKILL)\ntime.sleep(0.1)\n"
_OTHER_SIGNALS = (
    _SIGNAL_IN_EVERY_WAY
    + _BY_OWNER
    + """
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGABRT, 40):
    send(facts["victim"], number)
    attempt(by_owner, facts["victim"], number)
time.sleep(0.1)
"""
)
_DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 256)
        time.sleep(8)
    os._exit(0)
os.wait()
"""
_ORPHANS = """
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        time.sleep(8)
        os._exit(0)
"""
_DEAF_ORPHAN = """
if os.fork() == 0:
    os.setsid()
    for number in range(1, 65):
        attempt(signal.signal, number, signal.SIG_IGN)
    end = time.monotonic() + 8
    while time.monotonic() < end: pass
    os._exit(0)
"""
_CHAIN = """
end = time.monotonic() + 8
if os.fork() == 0:
    os.setsid()
    while time.monotonic() < end:
        if os.fork() > 0:
            os._exit(0)
    os._exit(0)
time.sleep(0.05)
"""
_TRACE = """
SEIZE, ATTACH, ptrace = 0x4206, 16, 101 if X86 else 117
for pid in TARGETS:
    if call(ptrace, SEIZE, pid, 0, 0) == 0:
        claim("a process outside is traced")
time.sleep(0.2)
"""
_ATTRIBUTES = """
import resource
for pid in (os.getppid(), facts["victim"], *facts["siblings"]):
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_STACK, resource.RLIMIT_AS):
        attempt(lambda: resource.prlimit(pid, kind, (resource.prlimit(pid, kind)[0] // 2,) * 2))
    attempt(os.sched_setaffinity, pid, {min(os.sched_getaffinity(0))})
    attempt(os.sched_setscheduler, pid, os.SCHED_BATCH, os.sched_param(0))
    attempt(os.setpriority, os.PRIO_PROCESS, pid, 5)
"""

ATTACKS = [
    Attack("A11", "a daemon by double fork", (_DAEMON,), _PROMPT),
    Attack("A12", "orphans that hold stdout", (_ORPHANS,), _PROMPT),
    Attack("A13", "kill the worker", (_KILL_VICTIM,)),
    Attack("A14", "stop the worker", (_STOP,), (held.slot_kept,)),
    Attack("A15", "kill another slot's run", (_KILL_SIBLINGS,)),
    Attack("A21", "trace the worker", (_TRACE.replace("TARGETS", "[facts['victim'], *facts['siblings']]"),),
           (held.nothing_strange,)),
    Attack("B10", "kill the parent", (_KILL_PARENT,), (held.slot_kept,)),
    Attack("B11", "kill every process", (_KILL_ALL,), (held.slot_kept,)),
    Attack("B12", "other signals to a process of the judge", (_OTHER_SIGNALS,)),
    Attack("B13", "trace the parent", (_TRACE.replace("TARGETS", "[os.getppid()]"),), (held.nothing_strange,)),
    Attack("B24", "an orphan that ignores signals", (_DEAF_ORPHAN,), _PROMPT),
    Attack("D4", "a chain of forks that outruns its killer", (_CHAIN,), _PROMPT),
    Attack("D7", "limits, priority and placement of the judge's processes", (_ATTRIBUTES,)),
]  # fmt: skip
