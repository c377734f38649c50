"""An asynchronous client. One client belongs to one event loop; make one per thread.

A verdict is returned, whatever it is. Only failures of the service are retried, under the same sub_id, so a program
whose result the server still holds is not run again.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import asdict, dataclass, fields
from typing import Any

import httpx

from code_judge.jobs import Outcome

_BACKOFF_MIN_S, _BACKOFF_MAX_S = 0.05, 1.0
_INFRA_TRIES = 3
DEFAULT_DEADLINE_S = 120.0


class JudgeUnavailable(RuntimeError):
    """The service gave no answer in time. Says nothing about the program: never turn it into a reward."""


@dataclass(frozen=True)
class RunLimits:
    """Limits of one run; None leaves the server's default."""

    cpu_s: float | None = None
    wall_s: float | None = None
    memory_mb: int | None = None
    output_bytes: int | None = None
    output_chars: int | None = None


@dataclass(frozen=True)
class RunResult:
    """One finished run. `error_*` come from the program's own traceback: a hint, never a verdict."""

    sub_id: str
    outcome: Outcome
    success: bool = False
    run_success: bool = False
    stdout: str = ""
    stderr: str = ""
    stdout_bytes: int = 0
    stdout_truncated: bool = False
    stderr_bytes: int = 0
    stderr_truncated: bool = False
    exit_code: int | None = None
    signal: int | None = None
    error_class: str | None = None
    error_message: str | None = None
    error_line: int | None = None
    cpu_s: float = 0.0
    wall_s: float = 0.0
    queue_s: float = 0.0
    max_rss_mb: float = 0.0
    detail: str = ""
    isolation: str = ""


_RESULT_FIELDS = {field.name for field in fields(RunResult)}


def _to_result(row: dict[str, Any]) -> RunResult:
    known = {name: value for name, value in row.items() if name in _RESULT_FIELDS}
    texts = {name: known.get(name) or "" for name in ("stdout", "stderr")}
    return RunResult(**{**known, **texts, "outcome": Outcome(known["outcome"])})


class _Retry(Exception):
    """This try failed by the service; another may not."""


class AsyncJudgeClient:
    """Use as `async with AsyncJudgeClient(url) as client`, or call `aclose` at the end."""

    def __init__(self, base_url: str, token: str | None = None, max_connections: int = 32) -> None:
        self._url = base_url.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
        # Requests wait here and not in httpx, whose pool looks through all waiting requests for every one that ends:
        # at a hundred waiting, that cost more time than all else a rollout does.
        self._slots = asyncio.Semaphore(max_connections)
        self._http: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def __aenter__(self) -> AsyncJudgeClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. Runs still waiting raise JudgeUnavailable."""
        self._closed = True
        if self._http is not None:
            await self._http.aclose()

    async def run(
        self,
        code: str,
        stdin: str | None = "",
        *,
        language: str = "python",
        expected_output: str | None = None,
        limits: RunLimits | None = None,
        echo: bool = False,
        deadline_s: float = DEFAULT_DEADLINE_S,
    ) -> RunResult:
        """Run one program and wait for its result.

        `echo` prints the value of a trailing bare expression, as a notebook does. `limits` are lowered to the
        server's caps. An `infra_error` outcome is returned after three tries. Raises JudgeUnavailable when the
        service gives no answer within `deadline_s`.
        """
        sub_id = uuid.uuid4().hex
        item: dict[str, Any] = {"sub_id": sub_id, "type": language, "solution": code, "input": stdin}
        item["expected_output"] = expected_output
        if limits is not None:
            item["limits"] = {name: value for name, value in asdict(limits).items() if value is not None}
        if echo:
            item["options"] = {"echo": "last_expression"}
        try:
            # ASCII escapes carry lone surrogates, which UTF-8 cannot.
            body = json.dumps({"type": "batch", "submissions": [item]}).encode()
        except (TypeError, ValueError) as error:
            return RunResult(sub_id, Outcome.REJECTED, detail=f"payload cannot be sent: {error}")
        last = ["no try was finished"]
        try:
            return await asyncio.wait_for(self._insist(body, last), deadline_s)
        except asyncio.TimeoutError:
            raise JudgeUnavailable(f"no answer from {self._url} within {deadline_s:g} s; last: {last[0]}") from None

    async def _insist(self, body: bytes, last: list[str]) -> RunResult:
        delay, infra = _BACKOFF_MIN_S, 0
        while True:
            try:
                result = await self._try(body)
                infra += 1
                if result.outcome is not Outcome.INFRA_ERROR or infra >= _INFRA_TRIES:
                    return result
                last[0] = f"infra_error: {result.detail}"
            except _Retry as error:
                last[0] = str(error)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _BACKOFF_MAX_S)

    async def _try(self, body: bytes) -> RunResult:
        http = self._client()
        try:
            async with self._slots:
                answer = await http.post(f"{self._url}/run/long-batch", content=body, headers=self._headers)
        except httpx.TransportError as error:
            raise _Retry(f"{type(error).__name__}: {error}") from error
        except RuntimeError as error:
            if self._closed:
                raise JudgeUnavailable("the client was closed while a run was waiting") from error
            raise
        if answer.status_code == 429 or answer.status_code >= 500:
            raise _Retry(f"HTTP {answer.status_code}: {answer.text[:200]}")
        if answer.status_code != 200:
            raise JudgeUnavailable(f"{self._url} refused the request: HTTP {answer.status_code}: {answer.text[:500]}")
        return _to_result(answer.json()["results"][0])

    def _client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._closed:
            raise JudgeUnavailable("the client is closed")
        if self._http is None:
            # trust_env off: a proxy setting of the training job must not carry programs to another host.
            self._http = httpx.AsyncClient(limits=self._limits, timeout=httpx.Timeout(None, connect=5), trust_env=False)
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("this AsyncJudgeClient belongs to another event loop; make one client per loop")
        return self._http

    async def wait_until_healthy(self, timeout_s: float = 30.0) -> None:
        """Wait for a canary program to run end to end. Raises JudgeUnavailable."""
        deadline, said = time.monotonic() + timeout_s, "no answer"
        while time.monotonic() < deadline:
            try:
                answer = await self._client().get(f"{self._url}/healthz", headers=self._headers)
                if answer.status_code == 200:
                    return
                said = f"HTTP {answer.status_code}: {answer.text[:200]}"
            except httpx.TransportError as error:
                said = f"{type(error).__name__}: {error}"
            await asyncio.sleep(0.1)
        raise JudgeUnavailable(f"{self._url} is not healthy after {timeout_s:g} s: {said}")
