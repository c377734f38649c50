"""What no service of this kind can beat here: a fresh interpreter, and a fork of a warm one, without isolation."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from code_judge.sandbox.kinds import Kind

PROGRAM = "print('hello world')"

_FRESH = """
import os, subprocess, sys, time
command = [sys.argv[2], "-I", "-S", "-c", sys.argv[3]]
begun = time.perf_counter()
for _ in range(int(sys.argv[1])):
    subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True)
print(time.perf_counter() - begun, sum(os.times()[:4]))
"""
_FORK = """
import gc, os, sys, time
for name in sys.argv[3].split():
    __import__(name)
compile(sys.argv[2], "main.py", "exec")
gc.collect(); gc.disable(); gc.freeze()
begun = time.perf_counter()
for _ in range(int(sys.argv[1])):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writing, 1)
        exec(compile(sys.argv[2], "main.py", "exec"), {"__name__": "__main__"})
        sys.stdout.flush()
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 100)
    os.waitpid(pid, 0)
    os.close(reading)
print(time.perf_counter() - begun, sum(os.times()[:4]))
"""


@dataclass(frozen=True)
class Floor:
    """`rate`: runs per second with one process per core, as many as the service has workers."""

    name: str
    rate: float
    cpu_ms: float


def _measure(name: str, script: str, count: int, workers: int, *more: str, python: str) -> Floor:
    command = [python, "-I", "-S", "-c", script, str(count), *more]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(workers)]
    said = [process.communicate()[0].split() for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError(f"the floor {name!r} could not be measured; its message is above")
    slowest = max(float(wall) for wall, _ in said)
    cpu = sum(float(cpu) for _, cpu in said)
    return Floor(name, count * workers / slowest, 1000 * cpu / (count * workers))


def fresh_interpreter(python: str, workers: int, count: int = 150) -> Floor:
    """`python -I -S -c PROGRAM`, one after the other in each of `workers` processes."""
    return _measure("python -I -S", _FRESH, count, workers, python, PROGRAM, python=python)


def bare_fork(python: str, workers: int, count: int = 800) -> Floor:
    """A warm interpreter forks, the child compiles and runs PROGRAM, the parent reads its output and waits."""
    loaded = " ".join(Kind.BARE.preload)
    return _measure("bare fork", _FORK, count, workers, PROGRAM, loaded, python=python)
