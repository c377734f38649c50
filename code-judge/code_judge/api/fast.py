"""The short way for requests that carry runs: a framework's routing would cost as much as a run.

Everything else goes to the framework. A client that leaves ends its request here, which withdraws what was not started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from code_judge.api.handlers import Answer, Call, Handlers, problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
CLIENT_HEADER = b"x-judge-client"
_DISCARDED = 1 << 30
"""So much of a body that is too large is read all the same: an answer before its end is lost with the connection."""


class FastPath:
    """An ASGI application around another one. `allows` judges an Authorization header."""

    def __init__(self, app: Any, handlers: Handlers, allows: Callable[[str], bool], max_body: int) -> None:
        self._app, self._handlers, self._allows, self._max_body = app, handlers, allows, max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fast = scope["type"] == "http" and scope["method"] == "POST"
        if not fast or scope["path"] not in self._handlers.table:
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if not self._allows(headers.get(b"authorization", b"").decode("latin-1")):
            refusal = problem(401, "missing or wrong bearer token", **{"www-authenticate": "Bearer"})
            await _send(send, refusal)
            return
        body = await self._read(headers, receive)
        if body is None:
            refusal = problem(413, f"the body is larger than {self._max_body} bytes", connection="close")
            await _send(send, refusal)
            return
        host = scope["client"][0] if scope.get("client") else ""
        client = headers.get(CLIENT_HEADER, b"").decode("latin-1")[:200] or host
        await self._answer(
            scope["path"], Call(body, client, headers.get(b"accept", b"").decode("latin-1")), receive, send
        )

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """None when there is too much of it."""
        length = headers.get(b"content-length", b"0")
        fits = length.isdigit() and int(length) <= self._max_body
        parts: list[bytes] = []
        size, more = 0, True
        while more and size <= _DISCARDED:
            message = await receive()
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            fits = fits and size <= self._max_body
            if fits:
                parts.append(part)
            else:
                parts.clear()
        return b"".join(parts) if fits else None

    async def _answer(self, path: str, call: Call, receive: Receive, send: Send) -> None:
        work, left = asyncio.current_task(), False
        assert work is not None

        async def watch() -> None:
            nonlocal left
            while (await receive())["type"] != "http.disconnect":
                pass
            left = True
            work.cancel()

        watcher = asyncio.create_task(watch())
        try:
            await _send(send, await self._handlers.answer(path, call))
        except asyncio.CancelledError:
            if not left:
                raise
        finally:
            watcher.cancel()


async def _send(send: Send, answer: Answer) -> None:
    headers = [(b"content-type", answer.media.encode())]
    headers += [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    if answer.stream is None:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if answer.stream is not None:
        async for part in answer.stream:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": answer.body})
