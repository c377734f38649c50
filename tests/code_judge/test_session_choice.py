"""Which worker a new session goes to."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi import HTTPException

from code_judge.api.sessions import _Choice
from code_judge.broker import QueueStatus


def worker(name: str, sessions: int = 0, slots: int = 2) -> dict[str, Any]:
    return {"name": name, "sessions": sessions, "slots": slots}


def choice(*workers: dict[str, Any], later: QueueStatus | None = None) -> tuple[_Choice, SimpleNamespace]:
    dispatcher = SimpleNamespace(status=QueueStatus(supervisors=workers))

    async def look() -> None:
        dispatcher.status = later or QueueStatus()

    dispatcher.look = look
    return _Choice(cast(Any, dispatcher)), dispatcher


def test_sessions_opened_since_the_last_look_count():
    async def go() -> list[str]:
        chosen, _ = choice(worker("a"), worker("b"))
        return [await chosen.emptiest() for _ in range(6)]

    assert sorted(asyncio.run(go())) == ["a"] * 3 + ["b"] * 3


def test_a_new_look_counts_them_itself():
    async def go() -> list[str]:
        chosen, dispatcher = choice(worker("a"), worker("b"))
        await chosen.emptiest()
        dispatcher.status = QueueStatus(supervisors=(worker("a", 1), worker("b")))
        return [await chosen.emptiest() for _ in range(2)]

    assert asyncio.run(go())[0] == "b"


def test_a_worker_that_has_just_come_is_looked_for():
    chosen, _ = choice(later=QueueStatus(supervisors=(worker("new"),)))
    assert asyncio.run(chosen.emptiest()) == "new"
    nobody, _ = choice()
    with pytest.raises(HTTPException, match="no worker is alive"):
        asyncio.run(nobody.emptiest())
