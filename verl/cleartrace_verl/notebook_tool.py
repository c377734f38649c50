"""`code_interpreter` with state: give this file as `multi_turn.function_tool_path` instead of the stateless one (D55).

Each rollout has a session of its own on the judge. A call that fails changes nothing: the judge runs every call on a
branch of the session and keeps the branch only when it succeeds, so a rolled back call leaves no trace in later ones.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any

from verl.tools.function_tool import function_tool
from verl.tools.schemas import ToolResponse

from cleartrace.tools.code_interpreter import NOTEBOOK_SCHEMA, infra_error, to_tool_result
from cleartrace.tools.render import render
from cleartrace.tools.result import ToolResult
from cleartrace_verl.judge_env import judge_client
from cleartrace_verl.rollout_scope import current_rollout
from code_judge.client import AsyncJudgeClient, JudgeUnavailable
from code_judge.session_client import AsyncSession, open_session


class Notebook:
    """The session of one rollout; calls of one turn run in the order they were written."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._turn = asyncio.Lock()

    async def run(self, code: str) -> ToolResult:
        async with self._turn:
            return to_tool_result(code, await self._session.run(code, echo=True, rollback=True))

    async def close(self) -> None:
        try:
            await self._session.close()
        except JudgeUnavailable:  # it ends by itself when idle, and the rollout is over
            return


@lru_cache(maxsize=4)
def _client(loop: asyncio.AbstractEventLoop) -> AsyncJudgeClient:
    del loop
    return judge_client()


async def _open() -> Notebook:
    return Notebook(await open_session(_client(asyncio.get_running_loop())))


@function_tool("code_interpreter", schema=NOTEBOOK_SCHEMA)
async def code_interpreter(code: str) -> tuple[ToolResponse, float, dict[str, Any]]:
    try:
        notebook = await current_rollout().resource("notebook", _open, Notebook.close)
        result = await notebook.run(code)
    except JudgeUnavailable as error:
        result = infra_error(f"{type(error).__name__}: {error}")
    return ToolResponse(text=render(result)), 0.0, {"result": result}
