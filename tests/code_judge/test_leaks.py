"""What runs leave behind: nothing. T12, promise 6, J29."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import code_judge.slots
from code_judge.executor import Executor, build_cache
from code_judge.jobs import Job, Outcome, RunLimits
from code_judge.languages import Compiler
from code_judge.sandbox import proctree
from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.host import Host
from code_judge.sandbox.interpreter import Interpreter
from code_judge.sandbox.kinds import Kind
from code_judge.sandbox.levels import Level
from code_judge.sandbox.probe import TooWeak, choose
from code_judge.sandbox.slot import Mode, Request, SlotLimits, SlotLost
from code_judge.sandbox.syscalls import become_subreaper
from code_judge.sandbox.uids import SLOTS_PER_SUPERVISOR, slot_uid
from code_judge.slots import SlotPool

LEVELS = [Level.L1, Level.L2, Level.L3]
LIMITS = RunLimits(cpu_s=0.3, wall_s=10, memory_mb=128, output_bytes=1 << 18, output_chars=1000, processes=16)
SLOT_LIMITS = SlotLimits(cpu_s=5, wall_s=10, memory=128 << 20, output=1 << 16, processes=16, file_size=1 << 20)
HELLO = b"print('hello world')\n"
_CALM = {
    "hello": (HELLO.decode(), {Outcome.OK}),
    "input": ("print(input())", {Outcome.OK}),
    "standard": ("import json, random, collections\nprint(json.dumps([random.random()]))", {Outcome.OK}),
    "error": ("def f(): return 1 / 0\nf()", {Outcome.RUNTIME_ERROR}),
    "syntax": ("def f(:", {Outcome.RUNTIME_ERROR}),
    "files": ("import os\nos.makedirs('a/b')\nopen('a/b/c', 'w').write('x' * 10000)", {Outcome.OK}),
    "child": ("import subprocess\nprint(subprocess.check_output(['echo', 'x']))", {Outcome.OK}),
    "thread": ("import threading, time\nthreading.Thread(target=time.sleep, args=(.01,)).start()", {Outcome.OK}),
    "handler": ("import atexit\natexit.register(print, 'late')", {Outcome.OK}),
    "abort": ("import os; os.abort()", {Outcome.RUNTIME_ERROR}),
}
_ATTACKS = {
    "orphan": (  # A11, B24
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(99)\n"
        "    os._exit(0)\n",
        {Outcome.OK},
    ),
    "deaf orphans": (  # A7, A12
        "import os, signal, time\nfor n in range(4):\n    if os.fork() == 0:\n        os.setsid()\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n        time.sleep(99)\n",
        {Outcome.OK},
    ),
    "many files": (  # A24, B22
        "import os, tempfile\nfor n in range(300): open(f'f{n}', 'w').write('x')\nd = tempfile.mkdtemp()\n"
        "for n in range(40):\n    d += '/d'\n    os.mkdir(d)\nos.symlink('/etc', 'l')\nos.mkfifo('p')\n"
        "os.chmod('.', 0)\nos.chmod(tempfile.gettempdir(), 0)\n",
        {Outcome.OK},
    ),
    "flood": ("while True: print('y' * 10000)", {Outcome.OUTPUT_LIMIT}),  # A26
    "fork storm": (  # A10
        "import os, time\ntry:\n    for n in range(40):\n        if os.fork() == 0:\n            time.sleep(99)\n"
        "except OSError: pass\ntime.sleep(.1)",
        {Outcome.OK, Outcome.PROCESS_LIMIT},
    ),
    "memory": ("x = bytearray(1 << 30)", {Outcome.MEMORY_LIMIT}),  # A2
    "loop": ("while True: pass", {Outcome.TIME_LIMIT}),  # A1
    "shared memory": (  # C2, C3
        "import ctypes, os\nc = ctypes.CDLL(None)\nc.shmget(0, 4096, 0o1666)\nc.semget(0, 1, 0o1666)\n"
        "c.msgget(0, 0o1666)\nc.shm_open(b'/left', 66, 0o666)\nc.mq_open(b'/left', 66, 0o666, 0)\n"
        "try: os.write(os.memfd_create('m'), b'x' * 1000)\nexcept OSError: pass",
        {Outcome.OK},
    ),
    "closed": ("import os\nos.closerange(0, 256)", {Outcome.OK, Outcome.RUNTIME_ERROR}),  # A5
    "signals": (  # A13, A14, B11
        "import os, signal\nfor n in (signal.SIGSTOP, signal.SIGKILL):\n    for pid in (os.getppid(), 1):\n"
        "        try: os.kill(pid, n)\n        except OSError: pass\ntry: os.kill(-1, n)\nexcept OSError: pass",
        {Outcome.OK, Outcome.RUNTIME_ERROR},
    ),
}
PROGRAMS = {**_CALM, **_ATTACKS}


@dataclass(frozen=True)
class Left:
    """What there is of one supervisor: its descriptors, and all that its slots can make."""

    descriptors: int
    below: int
    of_uids: int
    mounts: frozenset[str]
    files: Counter[str]
    cgroups: int
    ipc: frozenset[str]

    @classmethod
    def now(cls, base_dir: Path, home: CgroupHome | None) -> Left:
        uids = {slot_uid(os.getpid(), index) for index in range(SLOTS_PER_SUPERVISOR)}
        ipc = [Path("/proc/sysvipc", kind).read_text().splitlines() for kind in ("shm", "sem", "msg")]
        ipc += [[str(path) for path in Path("/dev/shm").iterdir() if _owner(path) in uids]]
        groups = [
            path
            for root in ({home.memory, home.pids} if home else ())
            for path in root.glob(f"code-judge-{os.getpid()}-*")
        ]
        return cls(
            descriptors=len(os.listdir("/proc/self/fd")),
            below=len(proctree.descendants(os.getpid())),
            of_uids=sum(uid in uids for uid in process_uids()),
            mounts=frozenset(Path("/proc/self/mountinfo").read_text().splitlines()),
            files=Counter(path.name.partition("-")[0] for path in base_dir.rglob("*")),
            cgroups=len(groups),
            ipc=frozenset(line for lines in ipc for line in lines),
        )


def _owner(path: Path) -> int | None:
    """None for a file that has gone meanwhile."""
    try:
        return path.lstat().st_uid
    except FileNotFoundError:
        return None


def process_uids() -> list[int]:
    """The user of every process that there is, zombies too."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            found.append(path.stat().st_uid)
        except FileNotFoundError:  # it ended meanwhile
            continue
    return found


@dataclass(frozen=True)
class Service:
    executor: Executor
    base_dir: Path
    home: CgroupHome | None

    def left(self) -> Left:
        return Left.now(self.base_dir, self.home)

    async def run(self, name: str) -> None:
        source, expected = PROGRAMS[name]
        job = Job(id=name, language="python", source=source, stdin="a\n", echo=False, limits=LIMITS)
        report = await self.executor.execute(job)
        assert report.outcome in expected, (name, report)

    async def run_all(self, names: list[str]) -> None:
        """Two at a time, as the pool has room for."""
        room = asyncio.Semaphore(self.executor.slots.capacity)

        async def one(name: str) -> None:
            async with room:
                await self.run(name)

        await asyncio.gather(*(one(name) for name in names))


@pytest.fixture
def with_service() -> Callable[[Level, Callable[[Service], Awaitable[None]]], None]:
    """Runs a coroutine on a service at a level, then ends its slots and compares what is left with what was before."""

    async def go(level: Level, base_dir: Path, body: Callable[[Service], Awaitable[None]]) -> None:
        why = ""
        for python in (sys.executable, "/usr/bin/python3"):  # below L2 another user must be able to reach it
            host = Host(Interpreter.ask(python), base_dir, CgroupHome.find())
            try:
                means, isolation = await choose(host, level, level)
            except TooWeak as error:
                why += f"{python}: {error} "
                continue
            before = Left.now(base_dir, host.cgroups)
            pool = SlotPool(host, means, capacity=2)
            try:
                await pool.prepare()
                executor = Executor(pool, isolation, Compiler.find("g++"), build_cache(base_dir))
                await body(Service(executor, base_dir, host.cgroups))
            finally:
                pool.close()
            assert Left.now(base_dir, host.cgroups) == before
            return
        pytest.skip(why)

    def use(level: Level, body: Callable[[Service], Awaitable[None]]) -> None:
        become_subreaper()
        with tempfile.TemporaryDirectory(prefix="judge-test-") as directory:
            Path(directory).chmod(0o711)
            asyncio.run(go(level, Path(directory), body))

    return use


@pytest.mark.parametrize(("level", "rounds"), [(Level.L1, 5), (Level.L2, 5), (Level.L3, 15)], ids=str)
def test_mixed_runs_leave_nothing(with_service, level: Level, rounds: int) -> None:
    async def body(service: Service) -> None:
        await service.run_all(2 * list(PROGRAMS))  # both slots of both kinds
        before, started = service.left(), service.executor.slots.restarts
        await service.run_all(rounds * list(PROGRAMS))
        assert service.left() == before
        assert service.executor.slots.restarts == started  # none was lost on the way

    with_service(level, body)


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_slots_are_replaced_without_a_rest(with_service, level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_judge.slots, "RUNS_PER_SLOT", 3)

    async def body(service: Service) -> None:
        before = service.left()
        await service.run_all(20 * ["hello"])
        assert service.executor.slots.restarts >= 5
        after = service.left()
        for name in ("descriptors", "below", "of_uids", "cgroups"):  # the last replacement may be still to come
            assert getattr(after, name) <= getattr(before, name)
        assert (after.mounts, after.ipc) == (before.mounts, before.ipc)

    with_service(level, body)


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_a_slot_that_dies_leaves_nothing(with_service, level: Level) -> None:
    async def body(service: Service) -> None:
        for _ in range(3):
            async with service.executor.slots.slot(Kind.BARE) as slot:
                os.kill(slot.pid, signal.SIGKILL)
                while slot.alive:
                    await asyncio.sleep(0.01)
            await service.run("orphan")

    with_service(level, body)


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_no_run_meets_what_another_left(with_service, level: Level) -> None:
    leave = (
        "import os, tempfile\nfor path in ('.', tempfile.gettempdir(), '/dev/shm'):\n"
        "    for act in (lambda: os.setxattr(path, 'user.left', b'x'), lambda: open(path + '/left', 'w'),\n"
        "                lambda: open(path + '/../left', 'w'), lambda: os.chmod(path, 0o711)):\n"
        "        try: act()\n        except OSError: pass\nos.fchmod(1, 0)\nos.set_blocking(1, False)"
    )
    look = (
        "import os, tempfile\nfor path in ('.', tempfile.gettempdir(), '/dev/shm', '..'):\n"
        "    try: print(path, oct(os.stat(path).st_mode), os.listxattr(path), sorted(os.listdir(path)))\n"
        "    except OSError as error: print(error)\n"
        "print(os.get_blocking(1), open('/dev/stdout', 'w').write('reached'))"
    )

    async def body(service: Service) -> None:
        async with service.executor.slots.slot(Kind.BARE) as slot:
            runs = [
                await slot.run(Request(Mode.PROGRAM, {"main.py": text.encode()}, None, SLOT_LIMITS))
                for text in (look, leave, look)
            ]
        assert [run.exit_code for run in runs] == [0, 0, 0]
        assert runs[0].stdout == runs[2].stdout and b"main.py" in runs[0].stdout

    with_service(level, body)


def private_bytes(pid: int) -> int:
    """Memory that would be free without this process (USS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))


def test_a_slot_does_not_grow(with_service) -> None:
    async def body(service: Service) -> None:
        async with service.executor.slots.slot(Kind.BARE) as slot:
            sizes = []
            for count in (100, 1900):
                for _ in range(count):
                    assert (await slot.run(Request(Mode.PROGRAM, {"main.py": HELLO}, None, SLOT_LIMITS))).exit_code == 0
                sizes.append(private_bytes(slot.pid))
        assert sizes[1] < 1.05 * sizes[0]
        assert sizes[1] <= 15 << 20  # promise 6

    with_service(Level.L2, body)


def test_a_run_that_cannot_be_confined_is_no_verdict(with_service) -> None:
    async def body(service: Service) -> None:
        slot = service.executor.slots.host.make(service.executor.slots.means, Kind.BARE)
        try:
            await slot.start()
            resource.prlimit(slot.pid, resource.RLIMIT_NOFILE, (64, 64))  # less than a run is to have
            with pytest.raises(SlotLost, match="could not be confined"):
                await slot.run(Request(Mode.PROGRAM, {"main.py": HELLO}, None, SLOT_LIMITS))
        finally:
            service.executor.slots.host.dispose(slot)

    with_service(Level.L2, body)
