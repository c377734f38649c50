"""Requests that carry files, which the images part of the OpenAI protocol wants as multipart forms."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from cleartrace.probe.http import FATAL_STATUSES, RETRY_STATUSES, EndpointUnavailable, RequestRefused

File = tuple[str, bytes, str]
"""Name, content and media type."""


class FormEndpoint:
    """Address, key and patience. One instance serves all threads of a run.

    Args:
        url: with or without `/v1`.
        tries: requests before the endpoint counts as unavailable; pauses double from `pause_s`.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = 300.0,
        tries: int = 6,
        pause_s: float = 1.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        root = url.rstrip("/")
        self.url = root if root.endswith("/v1") else f"{root}/v1"
        self._tries, self._pause_s, self._sleep = tries, pause_s, sleep
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(headers=headers, timeout=httpx.Timeout(timeout_s, connect=10.0), transport=transport)

    def close(self) -> None:
        self._http.close()

    def send(self, path: str, form: Mapping[str, str], files: Mapping[str, File]) -> dict[str, Any]:
        """The JSON object of the answer. Raises RequestRefused for this request, EndpointUnavailable for all."""
        said = ""
        for attempt in range(self._tries):
            if attempt:
                self._sleep(self._pause_s * 2 ** (attempt - 1))
            try:
                response = self._http.post(f"{self.url}{path}", data=form, files=files)
            except httpx.TransportError as error:
                said = f"{type(error).__name__}: {error}"
                continue
            said = f"HTTP {response.status_code}: {response.text[:300]}"
            if response.is_success:
                return self._object(response)
            if response.status_code in FATAL_STATUSES:
                raise EndpointUnavailable(
                    f"{self.url}{path} refused: {said}. Check the address, the model and the key."
                )
            if response.status_code not in RETRY_STATUSES:
                raise RequestRefused(f"{self.url}{path} refused a request: {said}")
        raise EndpointUnavailable(f"{self.url}{path} gave no answer in {self._tries} tries: {said}")

    def _object(self, response: httpx.Response) -> dict[str, Any]:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise RequestRefused(f"{response.url} answered with no JSON object: {response.text[:200]}")
        return answer
