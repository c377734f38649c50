"""The client for code without an event loop: AsyncJudgeClient on a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from code_judge.client import DEFAULT_DEADLINE_S, AsyncJudgeClient, JudgeUnavailable, RunResult

T = TypeVar("T")


class SyncJudgeClient:
    """Use from any number of threads; `with SyncJudgeClient(url) as client`, or call `close`. Not across a fork."""

    def __init__(self, base_url: str, token: str | None = None, max_connections: int = 32) -> None:
        self._client = AsyncJudgeClient(base_url, token, max_connections)
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="judge-client", daemon=True)
        self._thread.start()
        self._closed = False

    def __enter__(self) -> SyncJudgeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begin something on the client's loop. Raises JudgeUnavailable after `close`, RuntimeError after a fork."""
        if os.getpid() != self._pid:
            work.close()
            raise RuntimeError("a SyncJudgeClient does not survive a fork; make one in the new process")
        if self._closed:
            work.close()
            raise JudgeUnavailable("the client is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def submit(self, code: str, stdin: str | None = "", **more: Any) -> concurrent.futures.Future[RunResult]:
        """As `run`, without waiting."""
        return self.start(self._client.run(code, stdin, **more))

    def run(self, code: str, stdin: str | None = "", **more: Any) -> RunResult:
        """As AsyncJudgeClient.run."""
        return self.submit(code, stdin, **more).result()

    def run_many(self, items: Iterable[dict[str, Any]], deadline_s: float = DEFAULT_DEADLINE_S) -> list[RunResult]:
        """As AsyncJudgeClient.run_many."""
        return self.start(self._client.run_many(items, deadline_s)).result()

    def status(self) -> dict[str, Any]:
        """As AsyncJudgeClient.status."""
        return self.start(self._client.status()).result()

    def close(self) -> None:
        """End it; runs still waiting raise JudgeUnavailable. Safe to call twice."""
        if self._closed:
            return
        ending = self.start(self._client.aclose())
        self._closed = True
        ending.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
