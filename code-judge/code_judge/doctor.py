"""`code-judge doctor`: what holds on this machine, found out by trying."""

from __future__ import annotations

import asyncio
import os
import platform
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from code_judge.languages import Compiler
from code_judge.sandbox import syscalls
from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.host import Host, remove_tree
from code_judge.sandbox.interpreter import Interpreter
from code_judge.sandbox.levels import Level
from code_judge.sandbox.probe import TooWeak, choose
from code_judge.settings import Settings
from code_judge.valkey import EmbeddedValkey

_WANTS = {
    Level.L1: "Landlock (Linux 5.13 or later, 6.12 for all parts) and seccomp; as root also users of their own",
    Level.L2: "namespaces: root with CAP_SYS_ADMIN, or unprivileged user namespaces allowed",
    Level.L3: "what L2 wants, and a cgroup that this user may divide (memory and pids controllers)",
}


@dataclass(frozen=True)
class Finding:
    """One line. `good` None: a fact that nothing depends on."""

    name: str
    said: str
    good: bool | None = None


def _closed_part(interpreter: Interpreter) -> str:
    """At L1 runs of a root service have users of their own, who must reach the interpreter; '' where they do."""
    if os.geteuid() != 0:
        return ""
    for tree in interpreter.trees:
        for path in (tree, *tree.parents):
            if path.is_dir() and not path.stat().st_mode & stat.S_IXOTH:
                return f"{path} is closed to the users of runs: set PYTHON_EXECUTOR_PATH to a Python outside of it"
    return ""


async def _level(host: Host, level: Level) -> tuple[bool, str]:
    try:
        _, isolation = await choose(host, level, level)
    except TooWeak as error:
        said = str(error).splitlines()
        closed = _closed_part(host.interpreter) if level is Level.L1 else ""
        wants = closed or f"it wants {_WANTS[level]}"
        return False, f"{said[0]} {said[-1] if len(said) > 1 else ''}; {wants}"
    parts = ", ".join(f"{name} by {by}" for name, by in isolation.parts().items())
    return True, f"{isolation.label}: {parts}"


async def _levels(settings: Settings) -> list[Finding]:
    base_dir = Path(tempfile.mkdtemp(prefix="judge-doctor-"))
    base_dir.chmod(0o711)
    try:
        host = Host(Interpreter.ask(settings.python), base_dir, CgroupHome.find())
        held = {level: await _level(host, level) for level in (Level.L1, Level.L2, Level.L3)}
    finally:
        remove_tree(base_dir)
    found = [Finding(level.name, said, holds) for level, (holds, said) in held.items()]
    best = max((level for level, (holds, _) in held.items() if holds), default=Level.L0)
    within = min(best, settings.max_isolation)
    enough = within >= settings.min_isolation
    verdict = f"runs get {within.name}; the least that is accepted is {settings.min_isolation.name}"
    return [*found, Finding("isolation", verdict, enough)]


def _queue() -> Finding:
    with tempfile.TemporaryDirectory(prefix="judge-doctor-") as place:
        server = EmbeddedValkey(Path(place))
        try:
            server.start()
        except (OSError, RuntimeError) as error:
            return Finding("queue", f"the embedded Valkey does not start: {error}. Name a server by --queue", False)
        finally:
            server.stop()
    return Finding("queue", "the embedded Valkey starts", True)


def findings(settings: Settings) -> Iterator[Finding]:
    """What there is, one after another: each may take some seconds."""
    user = "root" if os.geteuid() == 0 else f"user {os.geteuid()}"
    yield Finding(
        "machine", f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs, {user}"
    )
    yield Finding("Landlock", f"version {syscalls.landlock_abi()} of the kernel's interface (0: none)")
    compiler = Compiler.find(settings.cxx, settings.commands.cpp_compile)
    missing = f"{settings.cxx} is not there: C++ programs are refused"
    yield Finding("C++", f"{compiler.executable}, {compiler.version}" if compiler else missing)
    yield _queue()
    try:
        yield Finding(
            "Python", f"{settings.python}, {'.'.join(map(str, Interpreter.ask(settings.python).version))}", True
        )
        yield from asyncio.run(_levels(settings))
    except (OSError, ValueError, RuntimeError) as error:
        yield Finding("Python", f"{settings.python} cannot run programs: {error}", False)


def doctor() -> None:
    """Say which isolation holds here and what is missing for more. Exits 1 when `serve` would not start."""
    try:
        settings = Settings.from_env()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    syscalls.become_subreaper()
    required = {"isolation", "queue", "Python"}
    good = True
    for one in findings(settings):
        mark = {None: "    ", True: "ok  ", False: "no  "}[one.good]
        typer.echo(f"{mark}{one.name}: {one.said}")
        good = good and (one.good is not False or one.name not in required)
    if not good:
        raise typer.Exit(1)
