"""An asynchronous client. One client belongs to one event loop; make one per thread.

A verdict is returned, whatever it is. Only failures of the service are retried, under the same sub_id, so a program
whose result the server still holds is not run again. Runs that are asked for while requests are out travel together;
each is answered as soon as it is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import httpx

from code_judge.jobs import Outcome

_BACKOFF_MIN_S, _BACKOFF_MAX_S = 0.05, 1.0
_INFRA_TRIES = 3
_BATCH_ITEMS, _BATCH_BYTES = 64, 1 << 20
DEFAULT_DEADLINE_S = 120.0


class JudgeUnavailable(RuntimeError):
    """The service gave no answer in time. Says nothing about the program: never turn it into a reward."""


class _TooLarge(RuntimeError):
    """The service takes no request of this size; the text is its answer."""


@dataclass(frozen=True)
class RunLimits:
    """Limits of one run; None leaves the server's default."""

    cpu_s: float | None = None
    wall_s: float | None = None
    memory_mb: int | None = None
    output_bytes: int | None = None
    output_chars: int | None = None
    processes: int | None = None


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
    stdout_base64: str = ""
    """Only with `binary`, and where the output is not UTF-8."""
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
    cost: float = 0.0
    reason: str = ""
    detail: str = ""
    isolation: str = ""
    tests_passed: int | None = None
    tests_total: int | None = None
    cases: list[dict[str, Any]] | None = None
    """Of a suite: a verdict per case."""
    files: dict[str, str] = field(default_factory=dict)
    """Fetched files: name to base64."""


_RESULT_FIELDS = {row.name for row in fields(RunResult)}


def to_result(row: dict[str, Any]) -> RunResult:
    """A result as the service sends it."""
    known = {name: value for name, value in row.items() if name in _RESULT_FIELDS}
    texts = {name: known.get(name) or "" for name in ("stdout", "stderr")}
    return RunResult(**{**known, **texts, "outcome": Outcome(known["outcome"])})


@dataclass
class _Item:
    """A run that somebody waits for."""

    sub_id: str
    body: bytes
    done: asyncio.Future[RunResult]
    infra: int = 0
    said: str = "no try was finished"
    alone: bool = False
    """Sent by itself, since a request with others was too large."""


class AsyncJudgeClient:
    """Use as `async with AsyncJudgeClient(url) as client`, or call `aclose` at the end.

    May be made anywhere; the first use binds it to the running event loop. `max_connections` requests are out at most.
    """

    def __init__(self, base_url: str, token: str | None = None, max_connections: int = 32) -> None:
        self._url = base_url.rstrip("/")
        # One name per process: the server lets clients take turns.
        self._headers = {"Content-Type": "application/json", "X-Judge-Client": f"{os.getpid()}-{uuid.uuid4().hex[:8]}"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
        # Runs wait here and not in httpx, whose pool looks through all waiting requests for every one that ends: at a
        # hundred waiting, that cost more time than all else a rollout does.
        self._room = max_connections
        self._waiting: deque[_Item] = deque()
        self._requests: set[asyncio.Task[None]] = set()
        self._http: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flushing = False
        self._closed = False

    async def __aenter__(self) -> AsyncJudgeClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. Runs still waiting raise JudgeUnavailable."""
        self._closed = True
        for task in list(self._requests):
            task.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)
        self._fail(list(self._waiting), JudgeUnavailable("the client was closed while a run was waiting"))
        self._waiting.clear()
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
        sub_id: str | None = None,
        **more: Any,
    ) -> RunResult:
        """Run one program and wait for its result.

        `echo` prints the value of a trailing bare expression, as a notebook does. `limits` are lowered to the
        server's caps. `more` are further fields of `/v2/runs`: `suite`, `files`, `fetch`, `binary`. An `infra_error`
        outcome is returned after three tries, `rejected` where the server takes no request of that size. Raises
        JudgeUnavailable when the service gives no answer within `deadline_s`, or refuses the client itself.
        """
        name = sub_id or uuid.uuid4().hex
        fields_: dict[str, Any] = {"sub_id": name, "language": language, "source": code, "stdin": stdin, "echo": echo}
        if expected_output is not None:
            fields_["expected_output"] = expected_output
        if limits is not None:
            fields_["limits"] = {key: value for key, value in asdict(limits).items() if value is not None}
        try:
            # ASCII escapes carry lone surrogates, which UTF-8 cannot.
            body = json.dumps({**fields_, **more}).encode()
        except (TypeError, ValueError) as error:
            return RunResult(name, Outcome.REJECTED, detail=f"payload cannot be sent: {error}")
        return await self._result(name, body, deadline_s)

    async def run_many(
        self, items: Iterable[dict[str, Any]], deadline_s: float = DEFAULT_DEADLINE_S
    ) -> list[RunResult]:
        """Several runs, each a `dict` of `run`'s arguments; in order. A bad item costs only itself."""
        return list(await asyncio.gather(*(self.run(**{"deadline_s": deadline_s, **item}) for item in items)))

    async def _result(self, name: str, body: bytes, deadline_s: float) -> RunResult:
        self._client()
        item = _Item(name, body, asyncio.get_running_loop().create_future())
        self._put(item)
        try:
            return await asyncio.wait_for(item.done, deadline_s)
        except asyncio.TimeoutError:
            raise JudgeUnavailable(f"no answer from {self._url} within {deadline_s:g} s; last: {item.said}") from None

    def _put(self, item: _Item) -> None:
        if item.done.done():  # nobody waits any more
            return
        self._waiting.append(item)
        if not self._flushing:  # what is asked for in the same moment goes together
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        while self._waiting and len(self._requests) < self._room and not self._closed:
            if batch := self._next_batch():
                task = asyncio.get_running_loop().create_task(self._request(batch))
                self._requests.add(task)
                task.add_done_callback(self._request_over)

    def _next_batch(self) -> list[_Item]:
        """What goes together: up to a number of runs and of bytes; one that is larger goes alone."""
        batch: list[_Item] = []
        size = 0
        while self._waiting and len(batch) < _BATCH_ITEMS:
            item = self._waiting[0]
            if batch and (item.alone or batch[0].alone or size + len(item.body) > _BATCH_BYTES):
                break
            self._waiting.popleft()
            if not item.done.done():
                batch.append(item)
                size += len(item.body)
        return batch

    def _request_over(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        if self._waiting and not self._closed:
            self._flush()

    async def _request(self, batch: list[_Item], delay: float = _BACKOFF_MIN_S) -> None:
        """Send until every item has a result or nobody waits for it: its deadline ends the tries."""
        while batch := [item for item in batch if not item.done.done()]:
            try:
                pause = await self._try(batch)
            except _TooLarge as error:
                self._part(batch, str(error))
                return
            except JudgeUnavailable as error:
                self._fail(batch, error)
                return
            except asyncio.CancelledError:
                self._fail(batch, JudgeUnavailable("the client was closed while a run was waiting"))
                raise
            if any(not item.done.done() for item in batch):
                await asyncio.sleep(max(delay, pause))
                delay = min(2 * delay, _BACKOFF_MAX_S)

    def _part(self, batch: list[_Item], said: str) -> None:
        """A request was too large: each run is asked for by itself, and one that is too large by itself is no run."""
        for item in batch:
            if len(batch) == 1 and not item.done.done():
                item.done.set_result(RunResult(item.sub_id, Outcome.REJECTED, detail=said))
            item.alone = True
            self._put(item)

    async def _try(self, batch: list[_Item]) -> float:
        """One request. Returns how many seconds the server asks to wait.

        Raises _TooLarge, and JudgeUnavailable when it is no use.
        """
        body = b'{"runs":[' + b",".join(item.body for item in batch) + b"]}"
        headers = {**self._headers, "Accept": "application/x-ndjson"}
        try:
            async with self._client().stream(
                "POST", f"{self._url}/v2/batches", content=body, headers=headers
            ) as answer:
                if answer.status_code == 200:
                    async for line in answer.aiter_lines():
                        self._accept(batch, json.loads(line))
                    return 0.0
                said = f"HTTP {answer.status_code}: {(await answer.aread()).decode(errors='replace')[:300]}"
        except (httpx.TransportError, ValueError) as error:
            self._note(batch, f"{type(error).__name__}: {error}")
            return 0.0
        if answer.status_code == 413:
            raise _TooLarge(f"{self._url} refused the request: {said}")
        if answer.status_code != 429 and answer.status_code < 500:
            raise JudgeUnavailable(f"{self._url} refused the request: {said}")
        self._note(batch, said)
        with contextlib.suppress(ValueError):  # a date is not worth reading
            return min(float(answer.headers.get("retry-after", "0")), 5.0)
        return 0.0

    def _accept(self, batch: list[_Item], row: dict[str, Any]) -> None:
        item, result = batch[row["index"]], to_result(row)
        item.infra += 1
        if item.done.done():
            return
        if result.outcome is not Outcome.INFRA_ERROR or item.infra >= _INFRA_TRIES:
            item.done.set_result(result)
        else:
            item.said = f"infra_error: {result.detail}"

    @staticmethod
    def _note(batch: list[_Item], said: str) -> None:
        for item in batch:
            item.said = said

    @staticmethod
    def _fail(batch: list[_Item], error: JudgeUnavailable) -> None:
        for item in batch:
            if not item.done.done():
                item.done.set_exception(error)

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

    async def request(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, timeout_s: float
    ) -> tuple[int, dict[str, Any]]:
        """One request that is not a run, sent once: (status, JSON). Raises JudgeUnavailable without an answer."""
        try:
            content = None if body is None else json.dumps(body).encode()
            answer = await self._client().request(
                method, self._url + path, content=content, headers=self._headers, timeout=timeout_s
            )
            said = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise JudgeUnavailable(f"{method} {self._url}{path}: {type(error).__name__}: {error}") from None
        return answer.status_code, said if isinstance(said, dict) else {"detail": said}

    async def status(self) -> dict[str, Any]:
        """What `/status` says. Raises JudgeUnavailable."""
        try:
            answer = await self._client().get(f"{self._url}/status", headers=self._headers, timeout=10)
        except httpx.TransportError as error:
            raise JudgeUnavailable(f"{type(error).__name__}: {error}") from None
        if answer.status_code != 200:
            raise JudgeUnavailable(f"HTTP {answer.status_code}: {answer.text[:200]}")
        return answer.json()
