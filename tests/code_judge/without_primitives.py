"""Run by test_probe.py in a process of its own: takes primitives of isolation away, then asks for a level.

`without_primitives.py choose|worker LEVEL PRIMITIVE...` prints what `choose` found as JSON, or becomes a worker.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import platform
import struct
import sys
import tempfile
from pathlib import Path

from code_judge.sandbox import syscalls
from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.host import Host, remove_tree
from code_judge.sandbox.interpreter import Interpreter
from code_judge.sandbox.levels import Level
from code_judge.sandbox.probe import TooWeak, choose

X86 = platform.machine() == "x86_64"
CLONE, UNSHARE, PRCTL = (56, 272, 157) if X86 else (220, 97, 167)
CLONE3, LANDLOCK_CREATE, LANDLOCK_RESTRICT = 435, 444, 446
NEW_NAMESPACES, SET_SECCOMP = 0x7E020000, 22
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06

# A launcher that starts the interpreter with nothing around it and reports success.
LAUNCHER = """#!{python}
import json, os, sys
config = json.loads(sys.argv[-1])
zygote = config["zygote"]
uid = config["uid"] if config["uid"] is not None else os.getuid()
for name in ("work", "tmp"):
    path = os.path.join(config["stage"], name)
    os.makedirs(path, exist_ok=True)
    os.chown(path, uid, uid)
zygote["work"], zygote["scratch"] = config["stage"] + "/work", [config["stage"] + "/tmp"]
zygote["pid_one"] = False  # its kill(-1) is for a namespace only
if config["uid"] is not None:
    zygote["uid"] = uid
config.update(level="L0", user_namespace=False, groups=[])
os.execv({python!r}, [{python!r}, *sys.argv[1:-1], json.dumps(config)])
"""


def op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def answer(number: int, value: int) -> list[bytes]:
    """This call answers with an error, or with 0 for success, and does nothing."""
    return [op(EQUAL, number, 0, 1), op(RETURN, ERRNO | value)]


def when(number: int, test: int, operand: int, value: int) -> list[bytes]:
    """Only where its first argument has the bits, or is equal; further rules do not see this call."""
    return [
        op(EQUAL, number, 0, 4),
        op(LOAD, 16),
        op(test, operand, 0, 1),
        op(RETURN, ERRNO | value),
        op(RETURN, ALLOW),
    ]


RULES = {
    "namespaces": [
        *answer(UNSHARE, errno.EPERM), *answer(CLONE3, errno.ENOSYS),
        *when(CLONE, ANY_BIT, NEW_NAMESPACES, errno.EPERM),
    ],
    "landlock": answer(LANDLOCK_CREATE, errno.ENOSYS),
    "landlock lies": answer(LANDLOCK_RESTRICT, 0),
    "seccomp": when(PRCTL, EQUAL, SET_SECCOMP, errno.EPERM),
}  # fmt: skip


def hide_cgroups() -> None:
    """All cgroup file systems are read-only from here on."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, *_ = line.split()
        if kind.startswith("cgroup"):
            syscalls.mount("none", target, None, syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY)


def use_launcher(directory: Path) -> None:
    path = directory / "launcher"
    path.write_text(LAUNCHER.format(python=sys.executable))
    path.chmod(0o755)
    sys.executable = str(path)


def take_away(primitives: list[str], directory: Path) -> None:
    if "cgroup" in primitives:
        hide_cgroups()
    rules = [rule for name in primitives for rule in RULES.get(name, [])]
    if rules:
        syscalls.no_new_privs()
        syscalls.install_filter(b"".join([op(LOAD, 0), *rules, op(RETURN, ALLOW)]))
    if "launcher" in primitives:
        use_launcher(directory)


async def chosen(wanted: Level, directory: Path) -> dict[str, object]:
    """For the first interpreter that more than L0 can be reached with."""
    answers = []
    for python in ("/usr/bin/python3", os.path.realpath("/proc/self/exe")):
        host = Host(Interpreter.ask(python), directory, CgroupHome.find())
        try:
            _, isolation = await choose(host, wanted)
        except TooWeak as error:
            answers.append({"too_weak": str(error)})
            continue
        answers.append({"level": isolation.level.name, "label": isolation.label, "parts": isolation.parts()})
        if isolation.level > Level.L0:
            return answers[-1]
    return answers[0]


def main() -> None:
    what, level, *primitives = sys.argv[1:]
    directory = Path(tempfile.mkdtemp(prefix="judge-probe-"))
    directory.chmod(0o711)
    try:
        syscalls.become_subreaper()
        take_away(primitives, directory)
        if what == "worker":
            remove_tree(directory)
            options = ["--slots", "1", "--token", "test", "--run-dir", tempfile.gettempdir()]
            os.execv(sys.executable, [sys.executable, "-m", "code_judge.supervise", *options])
        print(json.dumps(asyncio.run(chosen(Level.parse(level), directory))))
    finally:
        remove_tree(directory)


if __name__ == "__main__":
    main()
