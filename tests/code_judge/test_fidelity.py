"""A program in a slot prints, says and returns what it does under a plain `python -B main.py`: T4, J45-J52, Z1-Z10.

The programs are in `fidelity/*.txt`. Nothing is asserted about what is right: the plain interpreter says that.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.host import Host, Means, clean_environment
from code_judge.sandbox.interpreter import Interpreter
from code_judge.sandbox.kinds import Kind, kind_of
from code_judge.sandbox.levels import Level
from code_judge.sandbox.probe import TooWeak, choose
from code_judge.sandbox.slot import Mode, Request, Slot, SlotLimits
from code_judge.sandbox.syscalls import become_subreaper

LIMITS = SlotLimits(cpu_s=20, wall_s=60, memory=512 << 20, output=1 << 20, processes=64, file_size=16 << 20)
LEVELS = [Level.L1, Level.L2, Level.L3]
ODD_SOURCES = {
    "odd/lone surrogate": b"x = 1\nprint('\xed\xa0\x80')\n",  # J48
    "odd/null": b"print(1)\nx = '\0'\n",
    "odd/null at first": b"\0print(1)\n",
    "odd/null in a comment": b"print(1)  # \0\nprint(2)\n",
    "odd/not utf-8": b"print(1)\nx = 'a\xff'\n",
    "odd/not utf-8 in a comment": b"# \xe9t\xe9\nprint(1)\n",
    "odd/syntax before bytes": b"x = = 1\nprint('\xff')\n",
    "odd/unknown encoding": b"# -*- coding: nothing -*-\nprint(1)\n",
    "odd/wrong encoding": b"# -*- coding: ascii -*-\nprint('\xc3\xa9')\n",
    "odd/mark and latin": b"\xef\xbb\xbf# -*- coding: latin-1 -*-\nprint(1)\n",
    "odd/latin-1": "# -*- coding: latin-1 -*-\nprint(ascii('é'), 'é')\nraise ValueError('ü')\n".encode("latin-1"),
    "odd/cp1252": "# coding: cp1252\nprint('€')\n".encode("cp1252"),
    "odd/second line": "#!/bin/sh\n# vim: set fileencoding=iso-8859-15 :\nprint(ascii('€'))\n".encode("iso-8859-15"),
    "odd/mark": b"\xef\xbb\xbfprint('\xc3\xa9')\nraise ValueError\n",
    "odd/crlf": b"print(1)\r\nx = '''a\r\nb'''\r\nprint(repr(x))\r\nraise ValueError('x')\r\n",
    "odd/cr": b"print(1)\rprint(2)\r",
    "odd/form feed": b"\x0cprint(1)\n",
    "odd/non-printable": b"print(1)\x07\n",
    "odd/empty": b"",
    "odd/no newline": b"print(1)",
    "odd/backslash at end": b"print(1) \\",
    "odd/parentheses": b"(" * 150 + b")" * 150,
    "odd/minus": b"x = " + b"-" * 5000 + b"1",
    "odd/long sum": b"x = " + b"+".join([b"1"] * 3000) + b"\nprint(x)",
}
STDIN = {
    "input/prompt": "Ümit\n".encode(),
    "input/all": b"a\r\nb\n",
    "input/lines": b"one\ntwo\nlast",
    "input/bytes": bytes(range(256)),
    "input/bad bytes": b"a\xffb",
    "input/open(0)": b"1 2\n3",
    "input/os.read": b"0123456789",
    "input/too many": b"1\n2\n",
    "input/to a child": b"abc",
    "input/rest to a child": b"abcd",
    "input/seek": b"xyz",
    "input/fileinput": b"p\nq\n",
    "input//dev/stdin": b"dev",
    "input/closed": b"x\n",
    "input/nothing": b"x\n",
    "input/unwritable": b"x",
    "input/select": b"x",
    "input/big": b"\n".join(b"%d" % n for n in range(20000)),
}
_FRAME = "one frame of the warm interpreter is below the program's"
DEVIATIONS = {
    "recursion": _FRAME,
    "frames": _FRAME,
    "inspected stack": _FRAME,
    "printed stack": _FRAME,
    "warning for the caller of the program": _FRAME,
    "faulthandler": _FRAME,
    "profile": "the warm interpreter switches the program's profiler off, which the profiler sees",
    "loaded modules": "some modules are loaded before the program wants them",
    "frozen objects": "what the warm interpreter has made is kept from the garbage collector",
    "session leader": "a run leads its own session, so that signals to its group reach nobody else",
    "unix socket": "only socket pairs are allowed: a path may lead to a service of the host",
    "manager": "as `unix socket`",
    "open files": "the limit of the run",
}
"""Differences that are known and wanted: name in deviations.txt -> why."""
NEEDS_SHARED_MEMORY = {"process", "pool", "lock", "executor", "shared memory"}
"""Names in multiprocessing.txt: semaphores are files in /dev/shm, which a run may not write below L2 (Z8)."""


def programs() -> dict[str, bytes]:
    """'group/name' -> source."""
    found = dict(ODD_SOURCES)
    for path in sorted(Path(__file__).with_name("fidelity").glob("*.txt")):
        for part in re.split(r"^=== ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            name, _, source = part.partition("\n")
            found[f"{path.stem}/{name}"] = source.encode()
    return found


PROGRAMS = programs()
SAME = [name for name in PROGRAMS if not name.startswith("deviations/")]
# Namespaces and cgroups change little that a program could print, so upper levels get the groups that might show it.
_AT_L3 = ("multiprocessing", "processes", "signals")
_AT_L2 = (*_AT_L3, "end", "input", "module", "output", "preloaded", "state")
_GROUPS = {Level.L2: _AT_L2, Level.L3: _AT_L3}
CASES = [
    pytest.param(level, name, id=f"{level.name}-{name}")
    for level in LEVELS
    for name in SAME
    if level not in _GROUPS or name.partition("/")[0] in _GROUPS[level]
]


@dataclass(frozen=True)
class Ended:
    """`status`: exit status, or minus the signal's number."""

    status: int
    stdout: bytes
    stderr: bytes


def comparable(text: bytes, work: Path | str, temporary: Path | str) -> bytes:
    """Without what differs from run to run: directories, addresses, thread numbers."""
    text = text.replace(str(work).encode(), b"WORK").replace(str(temporary).encode(), b"TMP")
    return re.sub(rb"0x[0-9a-f]{6,}|(?<=started )\d{6,}", b"NUMBER", text)


@contextlib.contextmanager
def signals_ignored() -> Iterator[None]:
    """As a service that a shell put into the background finds them."""
    numbers = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in kept.items():
            signal.signal(number, handler)


class Bench:
    """Slots of one level, and the plain interpreter beside them."""

    def __init__(self, host: Host, means: Means, loop: asyncio.AbstractEventLoop) -> None:
        self._host, self._means, self._loop = host, means, loop
        self.python = host.interpreter.executable
        self._slots: dict[Kind, Slot] = {}

    def _slot(self, kind: Kind) -> Slot:
        if kind not in self._slots:
            slot = self._host.make(self._means, kind)
            with signals_ignored():
                self._loop.run_until_complete(slot.start())
            self._slots[kind] = slot
        return self._slots[kind]

    def run(self, source: bytes, stdin: bytes | None = None) -> Ended:
        slot = self._slot(kind_of(source.decode("utf-8", "replace")))
        request = Request(Mode.PROGRAM, {"main.py": source}, stdin, LIMITS)
        done = self._loop.run_until_complete(slot.run(request))
        assert done.stopped is None
        status = -(done.signal or 0) if done.exit_code is None else done.exit_code
        where = str(slot.config.zygote["work"]), slot.config.environment["TMPDIR"]
        return Ended(status, comparable(done.stdout, *where), comparable(done.stderr, *where))

    async def close(self) -> None:
        for slot in self._slots.values():
            self._host.dispose(slot)


@dataclass
class Plain:
    """`python -B main.py` in fresh directories, with the environment of a run. Remembers what it has seen."""

    directory: Path
    _seen: dict[tuple[str, str], Ended] = field(default_factory=dict)

    def run(self, python: str, name: str) -> Ended:
        if (python, name) not in self._seen:
            where = self.directory / str(len(self._seen))
            work, temporary = where / "work", where / "tmp"
            for path in (where, work, temporary):
                path.mkdir()
            (work / "main.py").write_bytes(PROGRAMS[name])
            given = where / "stdin"
            given.write_bytes(STDIN.get(name, b""))
            with open(given if name in STDIN else "/dev/null", "rb") as stdin:
                done = subprocess.run(
                    [python, "-B", "main.py"], cwd=work, env=clean_environment(work, temporary), stdin=stdin,
                    capture_output=True, timeout=60, umask=0o022,
                )  # fmt: skip
            ended = [comparable(text, work, temporary) for text in (done.stdout, done.stderr)]
            self._seen[python, name] = Ended(done.returncode, *ended)
        return self._seen[python, name]


@dataclass
class Benches:
    """One bench for each level that holds here, started when first asked for."""

    directory: Path
    loop: asyncio.AbstractEventLoop
    _ready: dict[Level, Bench | str] = field(default_factory=dict)

    def at(self, level: Level) -> Bench:
        if level not in self._ready:
            self._ready[level] = self._open(level)
        bench = self._ready[level]
        if isinstance(bench, str):
            pytest.skip(bench)
        return bench

    def _open(self, level: Level) -> Bench | str:
        why = ""
        for python in (sys.executable, "/usr/bin/python3"):  # below L2 another user must be able to reach it
            directory = Path(tempfile.mkdtemp(dir=self.directory))
            directory.chmod(0o711)
            host = Host(Interpreter.ask(python), directory, CgroupHome.find())
            try:
                means, _ = self.loop.run_until_complete(choose(host, level, level))
            except TooWeak as error:
                why += f"{python}: {error} "
                continue
            return Bench(host, means, self.loop)
        return why

    def close(self) -> None:
        for bench in self._ready.values():
            if isinstance(bench, Bench):
                self.loop.run_until_complete(bench.close())


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benches]:
    become_subreaper()
    directory = tmp_path_factory.mktemp("slots")
    directory.chmod(0o711)
    for parent in directory.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    loop = asyncio.new_event_loop()
    benches = Benches(directory, loop)
    yield benches
    benches.close()
    loop.close()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Plain:
    return Plain(tmp_path_factory.mktemp("plain"))


def test_there_are_programs_for_each_input_and_deviation() -> None:
    assert STDIN.keys() <= PROGRAMS.keys()
    assert {f"deviations/{name}" for name in DEVIATIONS} == PROGRAMS.keys() - set(SAME)
    assert {f"multiprocessing/{name}" for name in NEEDS_SHARED_MEMORY} <= PROGRAMS.keys()


def pair(benches: Benches, plain: Plain, level: Level, name: str) -> tuple[Ended, Ended]:
    """The run in a slot, and the plain one."""
    bench = benches.at(level)
    if "preloaded" in name and bench.python != sys.executable:
        pytest.skip("the tests' packages are not in this interpreter")
    with ThreadPoolExecutor(1) as beside:
        expected = beside.submit(plain.run, bench.python, name)
        run = bench.run(PROGRAMS[name], STDIN.get(name))
        return run, expected.result()


@pytest.mark.parametrize(("level", "name"), CASES)
def test_a_run_is_like_a_plain_one(benches: Benches, plain: Plain, level: Level, name: str) -> None:
    run, expected = pair(benches, plain, level, name)
    group, _, short = name.partition("/")
    if level is Level.L1 and group == "multiprocessing" and short in NEEDS_SHARED_MEMORY:
        assert run.status != 0 and expected.status == 0
        assert b"PermissionError" in run.stderr
    else:
        assert run == expected


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
@pytest.mark.parametrize("name", DEVIATIONS)
def test_the_known_deviations_are_still_there(benches: Benches, plain: Plain, level: Level, name: str) -> None:
    run, expected = pair(benches, plain, level, f"deviations/{name}")
    assert run != expected, f"remove it from the table: {DEVIATIONS[name]}"


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_random_values_differ_between_runs(benches: Benches, level: Level) -> None:  # Z1
    bench = benches.at(level)
    sources = [
        "import random, tempfile, uuid\nprint(random.random(), uuid.uuid4(), tempfile.mktemp())",
        "import os, sys\nprint(os.urandom(9).hex(), __import__('random').random())",
    ]
    if bench.python == sys.executable:
        sources.append("import numpy, random\nprint(numpy.random.rand(), numpy.random.default_rng().random())")
    for source in sources:
        runs = [bench.run(source.encode()) for _ in range(3)]
        assert [(run.status, run.stderr) for run in runs] == [(0, b"")] * 3
        words = [run.stdout.split() for run in runs]
        assert all(len({row[column] for row in words}) == 3 for column in range(len(words[0])))


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_no_run_sees_what_another_did(benches: Benches, level: Level) -> None:
    bench = benches.at(level)
    bench.run(
        b"import builtins, json, os, sys\nbuiltins.left = json.left = 1\nos.environ['LEFT'] = 'x'\nsys.path.pop()"
    )
    seen = b"import builtins, json, os\nprint(hasattr(builtins, 'left'), hasattr(json, 'left'), 'LEFT' in os.environ)"
    assert bench.run(seen).stdout == b"False False False\n"
