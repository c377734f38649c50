"""One request to an OpenAI-compatible server, tried again while that can help."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

RETRY_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
FATAL_STATUSES = frozenset({401, 403, 404, 405})
_BACKOFF_MIN_S, _BACKOFF_MAX_S = 0.5, 30.0


class EndpointUnavailable(RuntimeError):
    """No request can be expected to work; the answers so far are kept."""


class RequestRefused(RuntimeError):
    """The endpoint does not serve this one request, for example because it is too long."""


class Endpoint:
    """Address, key and patience. One instance serves all threads of a run.

    Args:
        url: with or without `/v1`.
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
        root = url.rstrip("/")
        self.url = root if root.endswith("/v1") else f"{root}/v1"
        self._patience_s = patience_s
        self._sleep = sleep
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout_s, connect=10.0),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            transport=transport,
        )

    def close(self) -> None:
        self._http.close()

    def only_model(self) -> str:
        """Name of the one model that is served. Raises EndpointUnavailable when there are several."""
        answer, _ = self.send("GET", "/models")
        served = [str(row.get("id")) for row in answer.get("data", [])]
        if len(served) != 1:
            listed = ", ".join(served[:8])
            raise EndpointUnavailable(
                f"{self.url}/models lists {len(served)} models ({listed}): choose one with --endpoint-model NAME"
            )
        return served[0]

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], int]:
        """(the JSON object of the answer, tries it took).

        Raises RequestRefused for this request, EndpointUnavailable for all.
        """
        deadline, wait, tries = time.monotonic() + self._patience_s, _BACKOFF_MIN_S, 1
        while True:
            said, asked_s = self._try(method, path, body)
            if isinstance(said, dict):
                return said, tries
            pause = asked_s if asked_s is not None else wait * random.uniform(0.5, 1.0)
            if time.monotonic() + pause > deadline:
                raise EndpointUnavailable(f"{self.url}{path} gave no answer within {self._patience_s:.0f} s: {said}")
            self._sleep(pause)
            wait, tries = min(wait * 2, _BACKOFF_MAX_S), tries + 1

    def _try(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[dict[str, Any] | str, float | None]:
        """(answer, None), or (what went wrong, seconds the server asks to wait)."""
        try:
            response = self._http.request(method, f"{self.url}{path}", json=body)
        except httpx.TransportError as error:
            return f"{type(error).__name__}: {error}", None
        except httpx.InvalidURL as error:
            raise EndpointUnavailable(f"--endpoint {self.url}: {error}") from error
        said = f"HTTP {response.status_code}: {response.text[:300]}"
        if response.status_code in RETRY_STATUSES:
            return said, _retry_after(response)
        if response.status_code in FATAL_STATUSES:
            raise EndpointUnavailable(f"{self.url}{path} refused: {said}. Check the address, the model and the key.")
        if not response.is_success:
            raise RequestRefused(f"{self.url}{path} refused a request: {said}")
        try:
            answer = response.json()
        except ValueError:
            return f"not JSON: {response.text[:300]}", None
        return (answer, None) if isinstance(answer, dict) else (f"not an object: {str(answer)[:300]}", None)


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(float(response.headers.get("Retry-After", "")), 0.0)
    except ValueError:
        return None
