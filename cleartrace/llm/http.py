"""Requests to OpenAI-compatible endpoints for what `LLM` does not hold: token ids, log-probs, pictures, vectors.

What a status means and when to ask again is decided on plain data; two clients, one of them asynchronous, send.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from cleartrace.llm.endpoint import error_of, parse_body, retry_after
from cleartrace.llm.protocol import Malformed
from cleartrace.serving import is_loopback_url

_HOPELESS = frozenset({401, 403, 404, 405, 501})
_BACKOFF_MIN_S, _BACKOFF_MAX_S = 0.5, 30.0
_VERSION = re.compile(r"v\d+\w*")
_UNSENDABLE = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError)
_FAILURES = (httpx.RequestError, httpx.InvalidURL)

File = tuple[str, bytes, str]
"""Name, content and media type."""


class EndpointUnavailable(RuntimeError):
    """No request can be expected to work; what was answered so far is kept."""


class RequestRefused(RuntimeError):
    """The endpoint does not serve this one request, for example because it is too long."""


@dataclass(frozen=True)
class TryAgain:
    """A failure that may pass. `wait_s`: seconds that the endpoint asks for."""

    said: str
    wait_s: float | None = None


def api_root(url: str) -> str:
    """The address that paths are put behind: `url`, and `/v1` unless it names a version itself.

    Example:
        >>> api_root("http://127.0.0.1:8000/"), api_root("https://host/v1beta/openai")
        ('http://127.0.0.1:8000/v1', 'https://host/v1beta/openai')
    """
    root = url.rstrip("/")
    return root if any(map(_VERSION.fullmatch, root.split("/"))) else f"{root}/v1"


def read_answer(place: str, status: int, headers: Mapping[str, str], content: bytes) -> dict[str, Any] | TryAgain:
    """The JSON object of an answer, or why to ask again.

    Raises RequestRefused for this request, EndpointUnavailable for all.
    """
    if 200 <= status < 300:
        try:
            return parse_body(content)
        except Malformed as error:
            return TryAgain(str(error))
    error = error_of(status, content.decode("utf-8", "replace"), _error_code(content), headers)
    if 300 <= status < 400 or status in _HOPELESS:
        raise EndpointUnavailable(f"{place} refused: {error}. Check the address, the model and the key.")
    if error.retry:
        return TryAgain(str(error), retry_after(headers))
    if status == 429:
        raise EndpointUnavailable(f"{place} refused: {error}")
    raise RequestRefused(f"{place} refused a request: {error}")


def read_failure(place: str, error: Exception) -> TryAgain:
    """Why to ask again without an answer. Raises EndpointUnavailable for what could not be sent at all."""
    if isinstance(error, _UNSENDABLE):
        raise EndpointUnavailable(f"{place}: {error}") from error
    return TryAgain(f"{type(error).__name__}: {error}")


class Patience:
    """The waits between tries of one request: they double, with jitter, and last at least as long as asked for."""

    def __init__(self, place: str, seconds: float) -> None:
        self._place, self._seconds = place, seconds
        self._deadline, self._wait = time.monotonic() + seconds, _BACKOFF_MIN_S

    def wait_s(self, failed: TryAgain) -> float:
        """Seconds until the next try. Raises EndpointUnavailable where patience ends before."""
        pause = max(failed.wait_s or 0.0, self._wait * random.uniform(0.5, 1.0))
        if time.monotonic() + pause > self._deadline:
            raise EndpointUnavailable(f"{self._place} gave no answer within {self._seconds:.0f} s: {failed.said}")
        self._wait = min(self._wait * 2, _BACKOFF_MAX_S)
        return pause


class Endpoint:
    """Address, key and patience. One instance serves all threads of a run.

    Args:
        url: with or without `/v1`. Proxies of the environment are for other machines only.
        timeout_s: how long one answer may take.
        patience_s: how long a failing request is tried again.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = 120.0,
        patience_s: float = 300.0,
        connections: int = 8,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = api_root(url)
        self._patience_s = patience_s
        self._sleep = sleep
        self._http = httpx.Client(transport=transport, **_client_settings(url, key, timeout_s, connections))

    def close(self) -> None:
        self._http.close()

    def only_model(self, option: str) -> str:
        """Name of the one model that is served. `option`: what would name one.

        Raises EndpointUnavailable when there are several.
        """
        return _only_model(f"{self.url}/models", self.send("GET", "/models")[0], option)

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], int]:
        """(the JSON object of the answer, tries it took).

        Raises RequestRefused for this request, EndpointUnavailable for all.
        """
        return self._send(method, path, json=body)

    def send_form(self, path: str, form: Mapping[str, str], files: Mapping[str, File]) -> dict[str, Any]:
        """The answer to a POST of a multipart form. Raises what `send` raises."""
        return self._send("POST", path, data=form, files=files)[0]

    def _send(self, method: str, path: str, **content: Any) -> tuple[dict[str, Any], int]:
        place, tries = f"{self.url}{path}", 1
        patience = Patience(place, self._patience_s)
        while True:
            try:
                response = self._http.request(method, place, **content)
                said = read_answer(place, response.status_code, response.headers, response.content)
            except _FAILURES as error:
                said = read_failure(place, error)
            if not isinstance(said, TryAgain):
                return said, tries
            self._sleep(patience.wait_s(said))
            tries += 1


class AsyncEndpoint:
    """`Endpoint` for coroutines of one event loop."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = 120.0,
        patience_s: float = 300.0,
        connections: int = 8,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = api_root(url)
        self._patience_s = patience_s
        self._http = httpx.AsyncClient(transport=transport, **_client_settings(url, key, timeout_s, connections))

    async def close(self) -> None:
        await self._http.aclose()

    async def only_model(self, option: str) -> str:
        """As `Endpoint.only_model`."""
        return _only_model(f"{self.url}/models", await self.send("GET", "/models"), option)

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object of the answer. Raises RequestRefused for this request, EndpointUnavailable for all."""
        place = f"{self.url}{path}"
        patience = Patience(place, self._patience_s)
        while True:
            try:
                response = await self._http.request(method, place, json=body)
                said = read_answer(place, response.status_code, response.headers, response.content)
            except _FAILURES as error:
                said = read_failure(place, error)
            if not isinstance(said, TryAgain):
                return said
            await asyncio.sleep(patience.wait_s(said))


def _client_settings(url: str, key: str | None, timeout_s: float, connections: int) -> dict[str, Any]:
    return {
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": httpx.Timeout(timeout_s, connect=10.0),
        "limits": httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        "trust_env": not is_loopback_url(url),
    }


def _only_model(place: str, answer: Mapping[str, Any], option: str) -> str:
    rows = answer.get("data")
    served = [str(row.get("id")) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if len(served) != 1:
        listed = ", ".join(served[:8])
        raise EndpointUnavailable(f"{place} lists {len(served)} models ({listed}): choose one with {option} NAME")
    return served[0]


def _error_code(content: bytes) -> str:
    """The code that OpenAI's protocol puts into the body of an error; "" without one."""
    try:
        error = json.loads(content)["error"]
        return str(error.get("code") or "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
