"""Sessions on a slot: state, branches, rollback, limits that spare the state. J19."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.host import Host
from code_judge.sandbox.interpreter import Interpreter
from code_judge.sandbox.kinds import Kind
from code_judge.sandbox.levels import Level
from code_judge.sandbox.probe import choose
from code_judge.sandbox.session import BranchLost, CellResult, Session
from code_judge.sandbox.slot import Mode, Request, SlotLimits, Stopped
from code_judge.sandbox.syscalls import become_subreaper

LIFE = SlotLimits(cpu_s=600, wall_s=600, memory=256 << 20, output=1 << 20, processes=64, file_size=1 << 20)
CELL = SlotLimits(cpu_s=0.4, wall_s=5, memory=256 << 20, output=1 << 16, processes=64, file_size=1 << 20)
Cell = Callable[..., Awaitable[CellResult]]


@pytest.fixture
def in_session(tmp_path: Path) -> Callable[[Callable[[Session, int, Cell], Awaitable[None]]], None]:
    """Runs a coroutine with a session, its first branch, and a function that runs a cell."""

    def use(body: Callable[[Session, int, Cell], Awaitable[None]]) -> None:
        async def go() -> None:
            become_subreaper()
            tmp_path.chmod(0o711)
            for parent in tmp_path.parents[:3]:
                parent.chmod(parent.stat().st_mode | 0o011)
            host = Host(Interpreter.ask(sys.executable), tmp_path, CgroupHome.find())
            means, _ = await choose(host, Level.L0)
            slot = host.make(means, Kind.STANDARD)
            await slot.start()
            session = Session(slot, LIFE)

            async def cell(branch: int, code: str, rollback: bool = False) -> CellResult:
                return await session.run(branch, code, CELL, echo=True, rollback=rollback)

            try:
                await body(session, await session.open(), cell)
                await session.close()
                after = await slot.run(Request(Mode.PROGRAM, {"main.py": b"print('free')"}, None, CELL))
                assert after.stdout == b"free\n"
            finally:
                host.dispose(slot)

        asyncio.run(go())

    return use


def test_state_stays_and_branches_part(in_session) -> None:
    async def body(session: Session, first: int, cell: Cell) -> None:
        assert (await cell(first, "x = 1\nx")).part.stdout == b"1\n"
        other = await session.fork(first)
        assert (await cell(other, "x += 1\nx")).part.stdout == b"2\n"
        assert (await cell(first, "x")).part.stdout == b"1\n"
        fresh = await session.reset(other)
        assert (await cell(fresh, "x")).error_class == "NameError"
        with pytest.raises(BranchLost):
            await cell(other, "x")

    in_session(body)


def test_errors_have_true_lines_and_no_frames_of_ours(in_session) -> None:
    async def body(_: Session, first: int, cell: Cell) -> None:
        failed = await cell(first, "def f():\n    return 1 / 0\nf()")
        assert (failed.status, failed.error_class, failed.line) == ("error", "ZeroDivisionError", 2)
        assert b"agent" not in failed.part.stderr and b"    return 1 / 0" in failed.part.stderr
        assert (await cell(first, "import sys; sys.exit(4)")).exit_code == 4
        assert (await cell(first, "print('on')")).part.stdout == b"on\n"

    in_session(body)


def test_a_cell_at_its_limit_spares_the_state(in_session) -> None:
    async def body(_: Session, first: int, cell: Cell) -> None:
        await cell(first, "x = 5")
        slow = await cell(first, "while True: pass")
        assert (slow.part.stopped, slow.error_class) == (Stopped.CPU, "KeyboardInterrupt")
        assert b"agent" not in slow.part.stderr
        assert (await cell(first, "x")).part.stdout == b"5\n"

    in_session(body)


def test_rollback_undoes_what_a_failed_cell_did(in_session) -> None:
    async def body(session: Session, first: int, cell: Cell) -> None:
        await cell(first, "x = 1")
        for failing in ("x = 2\n1 / 0", "x = 2\nimport os; os._exit(3)", "x = 2\nwhile True: pass"):
            assert (await cell(first, failing, True)).status in ("error", "died")
            assert (await cell(first, "x")).part.stdout == b"1\n"
        assert (await cell(first, "x = 7", True)).status == "ok"
        assert (await cell(first, "x")).part.stdout == b"7\n"
        assert session.alive(first)

    in_session(body)


def test_a_process_that_dies_ends_only_its_branch(in_session) -> None:
    async def body(session: Session, first: int, cell: Cell) -> None:
        other = await session.fork(first)
        assert (await cell(first, "import os; os._exit(0)")).status == "died"
        assert not session.alive(first)
        assert (await cell(other, "1 + 1")).part.stdout == b"2\n"
        flood = await cell(other, "while True: print('y' * 4000)")
        assert flood.part.stopped is Stopped.OUTPUT and len(flood.part.stdout) <= 1 << 16

    in_session(body)


FORGE = """
import json, os, socket, struct, time
for fd in range(3, 20):
    try: channel = socket.socket(fileno=os.dup(fd))
    except OSError: continue
    data = json.dumps(ANSWER).encode()
    try: channel.sendall(struct.pack("!I", len(data)) + data)
    except OSError: pass
time.sleep(2)
"""


@pytest.mark.parametrize("answer", [{"status": "ok", "pid": "x"}, {"status": "ok"}, {"status": "error", "line": "x"}])
def test_a_forged_answer_ends_its_branch_as_a_failure(in_session, answer: dict[str, object]) -> None:
    async def body(session: Session, first: int, cell: Cell) -> None:
        other = await session.fork(first)
        forged = await cell(first, FORGE.replace("ANSWER", repr(answer)), True)
        assert forged.status == "died" and not session.alive(first)
        assert (await cell(other, "1 + 1")).part.stdout == b"2\n"

    in_session(body)


def test_a_cell_that_ends_the_whole_session_has_failed(in_session) -> None:
    async def body(session: Session, first: int, cell: Cell) -> None:
        killed = await cell(first, "import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(3)")
        assert killed.status == "died" and not session.alive(first)

    in_session(body)


def test_a_process_without_a_readable_name_is_held_to_its_limits(in_session) -> None:
    async def body(_: Session, first: int, cell: Cell) -> None:
        assert (await cell(first, "import ctypes; ctypes.CDLL(None).prctl(15, b'\\xff)', 0, 0, 0)")).status == "ok"
        slow = await cell(first, "while True: pass")
        assert (slow.part.stopped, slow.error_class) == (Stopped.CPU, "KeyboardInterrupt")

    in_session(body)


def test_a_line_that_is_no_number_costs_no_branch(in_session) -> None:
    async def body(session: Session, first: int, cell: Cell) -> None:
        failed = await cell(first, "raise SyntaxError('x', ('f', 'no line', 1, 'text'))")
        assert (failed.status, failed.error_class) == ("error", "SyntaxError") and session.alive(first)

    in_session(body)
