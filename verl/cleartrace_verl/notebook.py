"""An interpreter that keeps its state for the length of one rollout, in a session on the judge."""

from __future__ import annotations

import asyncio
from functools import lru_cache

from cleartrace.tools.code_interpreter import infra_error, to_tool_result
from cleartrace.tools.result import ToolResult
from cleartrace_verl.judge_env import judge_client
from cleartrace_verl.rollout_scope import current_rollout
from code_judge.client import AsyncJudgeClient, JudgeUnavailable
from code_judge.session_client import AsyncSession, SessionEnded, open_session


class Notebook:
    """The session of one rollout; calls of one turn run in the order they were written."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._turn = asyncio.Lock()

    async def run(self, code: str) -> ToolResult:
        """A call after one that ended the interpreter gets a fresh one: ending it was no failure of the sandbox."""
        async with self._turn:
            try:
                result = await self._session.run(code, echo=True, rollback=True)
            except SessionEnded:
                self._session = await _session()
                result = await self._session.run(code, echo=True, rollback=True)
            return to_tool_result(code, result)

    async def close(self) -> None:
        try:
            await self._session.close()
        except JudgeUnavailable:  # it ends by itself when idle, and the rollout is over
            return


@lru_cache(maxsize=4)
def _client(loop: asyncio.AbstractEventLoop) -> AsyncJudgeClient:
    del loop
    return judge_client()


async def _session() -> AsyncSession:
    return await open_session(_client(asyncio.get_running_loop()))


async def _open() -> Notebook:
    return Notebook(await _session())


async def run_in_notebook(code: str) -> ToolResult:
    """Run one call in the session of the rollout that this coroutine works for; the first call opens it.

    A service that fails gives INFRA_ERROR. Raises RuntimeError outside of a rollout.
    """
    try:
        notebook = await current_rollout().resource("notebook", _open, Notebook.close)
        return await notebook.run(code)
    except JudgeUnavailable as error:
        return infra_error(f"{type(error).__name__}: {error}")
