"""A session as an object: an interpreter on the judge that keeps its state from one cell to the next."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import Any

from code_judge.client import AsyncJudgeClient, JudgeUnavailable, RunLimits, RunResult, to_result
from code_judge.jobs import CELL_ENDED_IT

_LATER_S = 10.0
"""So much longer than the service itself a client waits for an answer: what it has to say is still heard."""
_PAUSE_S = 0.2


class SessionLost(JudgeUnavailable):
    """The session is over, and its state with it: idle, ended by a cell, or its worker is gone."""


class SessionEnded(SessionLost):
    """A cell of its own ended it: no failure of the service, and the program may have meant it."""


class AsyncSession:
    """Made by `open_session`. Cells run one after another; nothing is retried, because a cell may have run."""

    def __init__(self, client: AsyncJudgeClient, name: str, answer_s: float) -> None:
        """`answer_s`: how long the service waits for a cell."""
        self._client = client
        self._answer_s = answer_s
        self._path = f"/v2/sessions/{name}"
        self.name = name

    async def run(
        self, code: str, *, echo: bool = True, rollback: bool = False, limits: RunLimits | None = None
    ) -> RunResult:
        """Run one cell. With `rollback` a cell that fails leaves the interpreter as it was.

        Raises SessionLost when the session is over, JudgeUnavailable when the service gave no answer.
        """
        body: dict[str, Any] = {"code": code, "echo": echo, "rollback": rollback}
        if limits is not None:
            body["limits"] = {key: value for key, value in asdict(limits).items() if value is not None}
        return to_result({"sub_id": self.name, **await self._ask("POST", "/cells", body)})

    async def fork(self) -> AsyncSession:
        """A new session with the state of this one."""
        made = await self._ask("POST", "/fork")
        return AsyncSession(self._client, made["session"], self._answer_s)

    async def reset(self) -> None:
        """Back to the state at the start."""
        await self._ask("POST", "/reset")

    async def close(self) -> None:
        """End it; one that is over already is no error."""
        try:
            await self._ask("DELETE", "")
        except SessionLost:
            return

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        status, said = await self._client.request(method, self._path + path, body, timeout_s=self._answer_s + _LATER_S)
        if status == 410:
            why = str(said.get("detail"))
            kind = SessionEnded if why.startswith(CELL_ENDED_IT) else SessionLost
            raise kind(f"session {self.name}: {why}")
        if status >= 300:
            raise JudgeUnavailable(f"session {self.name}: HTTP {status}: {said.get('detail')}")
        return said


async def open_session(
    client: AsyncJudgeClient, *, limits: RunLimits | None = None, idle_s: float | None = None, deadline_s: float = 60.0
) -> AsyncSession:
    """Open a session, waiting while the workers hold as many as they may.

    Raises JudgeUnavailable when none could be opened within `deadline_s`.
    """
    body: dict[str, Any] = {} if idle_s is None else {"idle_s": idle_s}
    if limits is not None:
        body["limits"] = {key: value for key, value in asdict(limits).items() if value is not None}
    end = time.monotonic() + deadline_s
    while True:
        status, said = await client.request("POST", "/v2/sessions", body, timeout_s=deadline_s)
        if status == 201:
            return AsyncSession(client, said["session"], said["answer_s"])
        if status not in (429, 503) or time.monotonic() + _PAUSE_S > end:
            raise JudgeUnavailable(f"no session within {deadline_s:g} s: HTTP {status}: {said.get('detail')}")
        await asyncio.sleep(_PAUSE_S)
