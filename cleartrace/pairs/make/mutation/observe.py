"""Calls functions of one module and prints what they return. Runs by path in a process of its own.

    python observe.py < request > reply

Request: {"module", "calls": [[function, argument, ...], ...], "cpu_s"}, arguments as Python literals. Reply, one line
of JSON per call: the result as text, or null where the call raised, took too long or returned no plain data; a function
that was too slow twice is not called again.
An audit hook refuses writing, deleting, processes and sockets: the calls are guesses.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice

CALL_S = 0.2
MAX_SLOW = 2
MAX_ITEMS, MAX_TEXT = 40, 160
MEMORY_BYTES = 2 << 30
REFUSED = ("subprocess.", "socket.", "shutil.", "os.system", "os.exec", "os.fork", "os.kill", "os.remove", "os.rmdir",
           "os.rename", "os.mkdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.truncate", "os.putenv",
           "os.chdir", "os.posix_spawn", "webbrowser.", "ctypes.", "pty.")  # fmt: skip
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Refused(Exception):
    """The call wanted to reach outside."""


class TooSlow(BaseException):
    """Not an Exception, so that the function under observation does not catch it."""


def refuse(event: str, args: tuple[object, ...]) -> None:
    if event == "open":
        writes = isinstance(args[2], int) and args[2] & WRITE_FLAGS
        if writes:
            raise Refused(event)
    elif event.startswith(REFUSED):
        raise Refused(event)


def on_alarm(*_: object) -> None:
    raise TooSlow


def plain(value: object) -> str | None:
    """Text of a result that reads back as the same value; iterators give the list of what they yield."""
    if isinstance(value, Iterator):
        value = list(islice(value, MAX_ITEMS))
    text = repr(value)
    if len(text) > MAX_TEXT:
        return None
    try:
        return text if repr(ast.literal_eval(text)) == text else None
    except (ValueError, SyntaxError, MemoryError):
        return None


def observe(module: object, call: list[str], slow: Counter[str]) -> str | None:
    name, *arguments = call
    if slow[name] >= MAX_SLOW:
        return None
    signal.setitimer(signal.ITIMER_REAL, CALL_S)
    try:
        return plain(getattr(module, name)(*map(ast.literal_eval, arguments)))
    except TooSlow:
        slow[name] += 1
        return None
    except Exception:  # a guess may do anything; what it does other than return is of no use
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main() -> None:
    request = json.load(sys.stdin)
    cpu_s = int(request["cpu_s"])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.path.insert(0, os.getcwd())
    reply, sys.stdout = sys.stdout, sys.stderr
    module = importlib.import_module(request["module"])
    signal.signal(signal.SIGALRM, on_alarm)
    sys.addaudithook(refuse)
    slow: Counter[str] = Counter()
    for call in request["calls"]:
        print(json.dumps(observe(module, call, slow)), file=reply, flush=True)


if __name__ == "__main__":
    main()
