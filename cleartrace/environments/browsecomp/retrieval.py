"""A retrieval service with two operations, `search` and `get_document`, over plain HTTP or as tools of an MCP server.

Plain HTTP: POST `<url>/search` {"query", "k"} and `<url>/get_document` {"docid"}; tools: `search` {"query"} and
`get_document` {"docid"}. They answer with a list of documents (or {"results": [...]}), and with one document. One is
{"docid", "text" or "snippet"}; other fields are dropped, since a service may mark there which ones hold the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from cleartrace.environments.protocol import EnvironmentFault

SEARCH, GET_DOCUMENT = "search", "get_document"
_SERVERS_FAULT = 500


class NotFound(Exception):
    """The service refuses what the agent asked for: a document that does not exist, an empty query."""


@dataclass(frozen=True)
class Document:
    """What an agent gets to see of a document."""

    id: str
    text: str


class Channel(Protocol):
    """Calls an operation. Raises `NotFound` and `EnvironmentFault`."""

    def call(self, operation: str, arguments: dict[str, Any]) -> Any: ...

    def close(self) -> None: ...


class Retrieval:
    """The two operations, read with care."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def search(self, query: str, k: int) -> list[Document]:
        """At most `k` documents, the best first."""
        answer = self._channel.call(SEARCH, {"query": query})
        if isinstance(answer, dict):  # some MCP servers unpack a list, so that a single hit comes alone
            answer = [answer] if "docid" in answer else answer.get("results")
        if not isinstance(answer, list):
            raise EnvironmentFault(f"the retrieval service answers `search` with {_short(answer)}, not a list")
        return [_document(row) for row in answer[:k]]

    def get(self, docid: str) -> Document:
        return _document(self._channel.call(GET_DOCUMENT, {"docid": docid}))

    def close(self) -> None:
        self._channel.close()


def _document(row: Any) -> Document:
    if isinstance(row, dict) and (docid := row.get("docid")) is not None:
        text = row.get("text", row.get("snippet"))
        if isinstance(text, str):
            return Document(id=str(docid), text=text)
    raise EnvironmentFault(f"the retrieval service answers with {_short(row)}, which is no document")


class Http:
    """Plain HTTP. A status from 400 to 499 is the agent's, everything else that goes wrong the service's."""

    def __init__(self, url: str, limit_s: float, k: int) -> None:
        self._url = url.rstrip("/")
        self._k = k
        self._client = httpx.Client(timeout=limit_s, trust_env=False)

    def call(self, operation: str, arguments: dict[str, Any]) -> Any:
        data = arguments | {"k": self._k} if operation == SEARCH else arguments
        response = post(self._client, f"{self._url}/{operation}", data)
        if 400 <= response.status_code < _SERVERS_FAULT:
            raise NotFound(response.text[:300] or f"status {response.status_code}")
        return body(response)

    def close(self) -> None:
        self._client.close()


def post(client: httpx.Client, url: str, data: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    """Raises `EnvironmentFault` without an answer, or for a status from 500 on."""
    try:
        response = client.post(url, json=data, headers=headers)
    except httpx.HTTPError as error:
        raise EnvironmentFault(f"the retrieval service at {url}: {type(error).__name__}: {error}") from None
    if response.status_code >= _SERVERS_FAULT:
        raise EnvironmentFault(f"the retrieval service at {url} answers with status {response.status_code}")
    return response


def body(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise EnvironmentFault(f"the retrieval service answers with {_short(response.text)}, not JSON") from None


def _short(value: Any) -> str:
    return repr(value)[:120]
