"""A session as an object: how long it waits."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from code_judge.client import AsyncJudgeClient
from code_judge.session_client import open_session


class Recorder:
    """Answers as the service does, and notes how long a caller would wait."""

    def __init__(self) -> None:
        self.waits: dict[str, float] = {}

    async def request(
        self, method: str, path: str, body: Any = None, *, timeout_s: float
    ) -> tuple[int, dict[str, Any]]:
        self.waits[path.rpartition("/")[2]] = timeout_s
        made = {"session": "w.s", "idle_s": 600.0, "answer_s": 720.0}
        return (201, made) if path == "/v2/sessions" else (200, {"outcome": "ok", "session": "w.t"})


def test_the_service_gives_up_first() -> None:
    recorder = Recorder()

    async def use() -> None:
        session = await open_session(cast(AsyncJudgeClient, recorder))
        await session.run("1")
        await (await session.fork()).reset()

    asyncio.run(use())
    assert min(recorder.waits[name] for name in ("cells", "fork", "reset")) > 720
