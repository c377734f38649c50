"""As much of the Model Context Protocol as calling tools needs, over streamable HTTP (revision 2025-03-26)."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import httpx

from cleartrace.environments.browsecomp.retrieval import NotFound, body, post
from cleartrace.environments.protocol import EnvironmentFault

VERSION = "2025-03-26"
_ACCEPT = {"Accept": "application/json, text/event-stream"}


class Mcp:
    """One session with an MCP server. Begins with the first call."""

    def __init__(self, url: str, limit_s: float) -> None:
        self._url = url
        self._client = httpx.Client(timeout=limit_s, trust_env=False)
        self._headers: dict[str, str] | None = None
        self._last_id = 0

    def call(self, operation: str, arguments: dict[str, Any]) -> Any:
        """What a tool returns. Raises `NotFound` for an error of the tool, `EnvironmentFault` for the rest."""
        if self._headers is None:
            self._initialize()
        result = self._request("tools/call", {"name": operation, "arguments": arguments})
        content = _content(result)
        if result.get("isError"):
            raise NotFound(str(content)[:300])
        return content

    def _initialize(self) -> None:
        self._headers = dict(_ACCEPT)
        about = {"name": "cleartrace", "version": "1"}
        self._request("initialize", {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": about})
        note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        response = post(self._client, self._url, note, self._headers)
        if response.status_code >= 400:
            raise EnvironmentFault(f"the MCP server at {self._url} refuses a session: status {response.status_code}")

    def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._last_id += 1
        message = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        assert self._headers is not None
        response = post(self._client, self._url, message, self._headers)
        if response.status_code >= 400:
            raise EnvironmentFault(f"the MCP server at {self._url} answers {method} with status {response.status_code}")
        if session := response.headers.get("Mcp-Session-Id"):
            self._headers["Mcp-Session-Id"] = session
        reply = _reply(response, self._last_id)
        if "error" in reply:
            raise EnvironmentFault(f"the MCP server at {self._url} refuses {method}: {reply['error']}")
        result = reply.get("result")
        if not isinstance(result, dict):
            raise EnvironmentFault(f"the MCP server at {self._url} answers {method} without a result")
        return result

    def close(self) -> None:
        if self._headers and "Mcp-Session-Id" in self._headers:
            with contextlib.suppress(httpx.HTTPError):  # a server may not know how to end a session, or be gone
                self._client.delete(self._url, headers=self._headers)
        self._headers = None
        self._client.close()


def _reply(response: httpx.Response, wanted: int) -> dict[str, Any]:
    """The message with the request's id, from a JSON body or from a stream of events."""
    if response.headers.get("Content-Type", "").startswith("text/event-stream"):
        messages = [_event(event) for event in response.text.replace("\r\n", "\n").split("\n\n")]
    else:
        messages = [body(response)]
    for message in messages:
        if isinstance(message, dict) and message.get("id") == wanted:
            return message
    raise EnvironmentFault("the MCP server ends its answer without the reply that was asked for")


def _event(text: str) -> Any:
    data = "\n".join(line[5:].lstrip(" ") for line in text.split("\n") if line.startswith("data:"))
    try:
        return json.loads(data) if data else None
    except ValueError:
        return None


def _content(result: dict[str, Any]) -> Any:
    """Structured where the server gives it, else the JSON in its texts, else the text."""
    structured = result.get("structuredContent")
    if isinstance(structured, dict):
        return structured["result"] if set(structured) == {"result"} else structured
    blocks = result.get("content")
    blocks = blocks if isinstance(blocks, list) else []
    texts = [str(block.get("text", "")) for block in blocks if isinstance(block, dict) and block.get("type") == "text"]
    try:
        values = [json.loads(text) for text in texts]
    except ValueError:
        return "\n".join(texts)
    return values[0] if len(values) == 1 else values
