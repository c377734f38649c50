"""Calls to sessions: every one is answered, and one that is under way is no idleness."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from code_judge.jobs import CELL_ENDED_IT, RunLimits
from code_judge.sandbox.answers import Status
from code_judge.sandbox.session import BranchLost, CellResult
from code_judge.sandbox.slot import Part
from code_judge.session_desk import SessionDesk, _Handle, _Tree

LIMITS = RunLimits(cpu_s=1, wall_s=3, memory_mb=256, output_bytes=100, output_chars=100)


class Stuck:
    """A session whose calls end when they are told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go_on, self.error = asyncio.Event(), error
        self.slot = SimpleNamespace(alive=True)

    async def fork(self, branch: int) -> int:
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return branch + 1

    async def run(self, branch: int, *_: object, **__: object) -> CellResult:
        await self.go_on.wait()
        return CellResult(Status.DIED, Part(None, 0.0, 0.0, 0, b"", 0, b"", 0))

    def alive(self, branch: int) -> bool:
        return False

    def end(self, branch: int) -> None:
        pass


def desk_with(session: Stuck, idle_s: float) -> SessionDesk:
    desk = SessionDesk(cast(Any, None), 4, asyncio.Semaphore(1))
    desk._handles["a"] = _Handle(_Tree(cast(Any, session), cast(Any, None), 2), 0, idle_s, LIMITS)
    return desk


def test_a_call_under_way_is_no_idleness() -> None:
    async def go() -> None:
        session = Stuck()
        desk = desk_with(session, 0.05)
        call = asyncio.create_task(desk.handle({"op": "fork", "session": "a"}))
        await asyncio.sleep(0.2)
        await desk.expire()
        assert desk.count == 1
        session.go_on.set()
        assert (await call)["status"] == "ok"
        await desk.expire()
        assert "a" in desk._handles  # it was used just now
        await asyncio.sleep(0.2)
        await desk.expire()
        assert "a" not in desk._handles

    asyncio.run(go())


@pytest.mark.parametrize(
    ("error", "code"),
    [(BranchLost("gone"), 410), (OSError("full"), 503), (ValueError("pid"), 500), (KeyError("x"), 500)],
)
def test_whatever_goes_wrong_is_answered(error: Exception, code: int) -> None:
    async def go() -> dict[str, Any]:
        session = Stuck(error)
        session.go_on.set()
        return await desk_with(session, 9).handle({"op": "fork", "session": "a"})

    said = asyncio.run(go())
    assert (said["status"], said["code"]) == ("error", code) and str(error) in said["detail"]


@pytest.mark.parametrize("slot_lives", [True, False])
def test_why_a_session_is_over_says_whose_doing_it_was(slot_lives: bool) -> None:
    async def go() -> str:
        session = Stuck(BranchLost("gone"))
        session.slot.alive = slot_lives
        session.go_on.set()
        return (await desk_with(session, 9).handle({"op": "fork", "session": "a"}))["detail"]

    assert asyncio.run(go()).startswith(CELL_ENDED_IT) is slot_lives


@pytest.mark.parametrize("op", ["fork", "run"])
def test_a_session_that_is_closed_under_a_call_says_so(op: str) -> None:
    async def go() -> dict[str, Any]:
        session = Stuck(BranchLost("gone"))
        desk = desk_with(session, 9)
        asked = {"op": op, "session": "a", "limits": None, "code": "1", "echo": True, "rollback": False}
        call = asyncio.create_task(desk.handle(asked))
        await asyncio.sleep(0.05)
        await desk.close()
        session.go_on.set()
        return await call

    said = asyncio.run(go())
    assert (said["status"], said.get("code"), said.get("detail")) == ("error", 410, "the worker stopped")


@pytest.mark.parametrize("message", [{}, {"op": "nothing"}, {"op": "run"}, {"op": "create", "limits": 5}])
def test_a_call_that_nobody_should_make_is_answered(message: dict[str, Any]) -> None:
    async def go() -> dict[str, Any]:
        return await desk_with(Stuck(), 9).handle(message)

    assert asyncio.run(go())["code"] == 500


def test_sessions_that_are_opening_take_their_place() -> None:
    async def go() -> list[Any]:
        session = Stuck()
        desk = desk_with(session, 9)
        desk.capacity = 3
        calls = [asyncio.create_task(desk.handle({"op": "fork", "session": "a"})) for _ in range(4)]
        await asyncio.sleep(0.01)
        session.go_on.set()
        answers = [(await call).get("code", 201) for call in calls]
        assert desk.count == 3
        return answers

    assert sorted(asyncio.run(go())) == [201, 201, 429, 429]
