"""How graders reach the judge: what they need of a client, and one pooled client per process and event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol

from cleartrace.rewards.code.request import SuiteRequest
from cleartrace.rewards.code.verdict import SuiteResult
from cleartrace.rewards.options import RewardOptions


class Judge(Protocol):
    """A judge for code without an event loop; `code_judge.sync_client.SyncJudgeClient` is one."""

    def run(self, code: str, stdin: str | None = None, **more: Any) -> SuiteResult: ...


class AsyncJudge(Protocol):
    """A judge for asynchronous code; `code_judge.client.AsyncJudgeClient` is one."""

    def run(self, code: str, stdin: str | None = None, **more: Any) -> Awaitable[SuiteResult]: ...


def run_arguments(request: SuiteRequest, options: RewardOptions) -> dict[str, Any]:
    """Keyword arguments of a client's `run`."""
    from code_judge.client import RunLimits

    return {
        "code": request.program,
        "stdin": None,
        "suite": request.suite,
        "limits": RunLimits(cpu_s=options.code_cpu_s, memory_mb=options.code_memory_mb),
        "deadline_s": options.code_deadline_s,
    }


class BoundedJudge:
    """At most `at_once` programs are with the judge; the deadline of the others has not begun."""

    def __init__(self, judge: AsyncJudge, at_once: int) -> None:
        self._judge = judge
        self._room = asyncio.Semaphore(at_once)

    async def run(self, code: str, stdin: str | None = None, **more: Any) -> SuiteResult:
        async with self._room:
            return await self._judge.run(code, stdin, **more)


_POOL: dict[tuple[asyncio.AbstractEventLoop, str], BoundedJudge] = {}


def pooled_judge(url: str, token: str | None, at_once: int = 64) -> BoundedJudge:
    """The judge at `url` for the running event loop: sockets and tasks do not grow with the number of rollouts."""
    from code_judge.client import AsyncJudgeClient

    loop = asyncio.get_running_loop()
    for key in [key for key in _POOL if key[0].is_closed()]:
        del _POOL[key]
    if (loop, url) not in _POOL:
        _POOL[loop, url] = BoundedJudge(AsyncJudgeClient(url, token), at_once)
    return _POOL[loop, url]
