"""Finds the highest level that holds here by trying to break out of it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

from code_judge.sandbox import proctree, seccomp, syscalls
from code_judge.sandbox.host import Host, Means
from code_judge.sandbox.kinds import Kind
from code_judge.sandbox.levels import Isolation, Level
from code_judge.sandbox.slot import Mode, Request, Slot, SlotLimits, SlotLost, Stopped
from code_judge.sandbox.uids import can_become, slot_uid

log = logging.getLogger(__name__)
_MEMORY = 128 << 20
_PROCESSES = 16
_LIMITS = SlotLimits(
    cpu_s=5, wall_s=15, memory=_MEMORY, output=1 << 16, processes=_PROCESSES, file_size=1 << 20
)  # fmt: skip
# Each line tries one way out and adds its name when it succeeds.
_CANARY = r"""
import json, os, socket
import decimal  # not loaded yet: the run's user must be able to read the interpreter's files
facts = json.loads(os.read(0, 4096))
out = []
def attempt(name, action):
    try:
        action()
    except (OSError, MemoryError, OverflowError):
        return
    out.append(name)
def reach(family, address):
    one = socket.socket(family, socket.SOCK_STREAM)
    one.settimeout(1)
    one.connect(address)
attempt("read", lambda: open(facts["secret"]).read())
attempt("write", lambda: open(facts["secret"] + ".made", "w"))
attempt("tcp", lambda: reach(socket.AF_INET, ("127.0.0.1", facts["port"])))
attempt("unix", lambda: reach(socket.AF_UNIX, facts["socket"]))
attempt("signal", lambda: os.kill(facts["pid"], 0))
attempt("memory", lambda: bytearray(3 * facts["memory"] + (1 << 28)))
print(json.dumps(out), flush=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        import time
        time.sleep(60)
    os._exit(0)
"""
_FORKS = r"""
import os, time
made = 0
try:
    while made < 200:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError:
    pass
print(made, flush=True)
time.sleep(0.3)
"""


class TooWeak(RuntimeError):
    """No level from the asked one up holds here."""


def candidates(wanted: Level) -> Iterator[Means]:
    """Ways to confine, best first, down to `wanted`."""
    uid = os.geteuid() == 0 and can_become(slot_uid(os.getpid(), 0))
    for level in sorted(Level, reverse=True):
        if level < wanted:
            return
        if level >= Level.L1 and not (syscalls.landlock_abi() and seccomp.supported()):
            continue
        if uid or level <= Level.L1:
            yield Means(level, own_uid=uid)
        if level.has_namespaces:
            yield Means(level, own_uid=uid, user_namespace=True)


async def _broken(slot: Slot, base_dir: Path) -> list[str]:
    """Names of the canaries that got out."""
    secret = base_dir / f"secret-{secrets.token_hex(4)}"
    secret.write_text("secret")
    secret.chmod(0o644)
    path = base_dir / f"s{secrets.token_hex(4)}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        path.chmod(0o777)
        unix.listen()
        facts = {
            "secret": str(secret), "port": tcp.getsockname()[1], "socket": str(path), "pid": os.getpid(),
            "memory": _MEMORY,
        }  # fmt: skip
        request = Request(Mode.PROGRAM, {"main.py": _CANARY.encode()}, json.dumps(facts).encode(), _LIMITS)
        try:
            first = await slot.run(request)
            second = await slot.run(Request(Mode.PROGRAM, {"main.py": _FORKS.encode()}, None, _LIMITS))
        finally:
            for left in (secret, path, Path(f"{secret}.made")):
                left.unlink(missing_ok=True)
    if first.exit_code != 0:
        raise SlotLost(f"the canary failed: {first.stderr.decode(errors='replace')[-500:]}")
    out = [str(name) for name in json.loads(first.stdout)]
    if proctree.descendants(slot.pid):
        out.append("outlive")
    if second.stopped is not Stopped.PROCESSES and int(second.stdout or b"0") > _PROCESSES + 1:
        out.append("processes")
    return out


def describe(means: Means) -> Isolation:
    """The parts of a level that held all canaries."""
    level, abi = means.level, syscalls.landlock_abi()
    user = "userns" if means.user_namespace else "uid" if means.own_uid else ""
    if level is Level.L0:
        return Isolation(level, user=user)
    root, group = level.has_namespaces, level is Level.L3
    return Isolation(
        level,
        user=user,
        fs="private root, landlock" if root else "landlock",
        net="network namespace, seccomp" if root else "seccomp, landlock" if abi >= 4 else "seccomp",
        pid="pid namespace" if root else "subreaper",
        signal="pid namespace" if root else "landlock" if abi >= 6 else "uid" if means.own_uid else "",
        mem="cgroup" if group else "rlimit, watched",
        pids="cgroup" if group else "rlimit, watched" if means.own_uid or means.user_namespace else "watched",
        disk="tmpfs" if root else "rlimit, watched",
    )


async def choose(host: Host, wanted: Level, highest: Level = Level.L3) -> tuple[Means, Isolation]:
    """The first way whose canaries are all held. Raises TooWeak, which names what failed at each level."""
    said: list[str] = []
    for means in candidates(wanted):
        if means.level > highest:
            continue
        if means.level is Level.L3 and host.cgroups is None:
            said.append("L3: no cgroup can be made")
            continue
        if means.level is Level.L0:
            return means, describe(means)
        name = f"{means.level.name}{' by user namespace' if means.user_namespace else ''}"
        try:
            slot = host.make(means, Kind.BARE)
            try:
                await slot.start()
                broken = await _broken(slot, host.base_dir)
            finally:
                host.dispose(slot)
        except (OSError, SlotLost, asyncio.TimeoutError) as error:
            said.append(f"{name}: {error}")
            continue
        if not broken:
            return means, describe(means)
        said.append(f"{name}: not contained: {', '.join(broken)}")
    raise TooWeak("; ".join(said) or "nothing was tried")
