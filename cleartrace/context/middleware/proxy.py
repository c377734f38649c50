"""A proxy that speaks OpenAI's dialect: context in front of any client, whatever it is written in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from cleartrace.context.middleware.briefing import Added, Briefing
from cleartrace.context.middleware.conversation import shape_of
from cleartrace.serving import Guarded, NotServed, is_loopback_url

TOKEN_VARIABLE = "CLEARTRACE_CONTEXT_TOKEN"
HEALTH = "/health"
_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
     "upgrade", "host", "content-length")
)  # fmt: skip


@dataclass(frozen=True)
class Upstream:
    """The endpoint behind the proxy.

    Args:
        url: with the path that OpenAI's clients call their base, such as http://127.0.0.1:8000/v1.
        key: sent in place of the client's own.
        timeout_s: for a byte of the answer; a model may think long.
    """

    url: str
    key: str | None = None
    timeout_s: float = 600.0

    def client(self) -> httpx.AsyncClient:
        timeout = httpx.Timeout(self.timeout_s, connect=10.0)
        return httpx.AsyncClient(timeout=timeout, trust_env=not is_loopback_url(self.url))


def build_app(briefing: Briefing, upstream: Upstream, token: str | None = None) -> Any:
    """An ASGI application that passes everything below /v1 on to the upstream.

    Conversations get their context; all else, and every byte of an answer, stays as it is. An answer says in
    `X-Context-Provider`, `X-Context-Parts` and `X-Context-Abstained` what its conversation was given.

    Args:
        token: all but /health want it as their bearer token. It is not passed on.
    """
    try:
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route
    except ImportError as error:
        raise NotServed(f"the proxy needs starlette and uvicorn ({error}): pip install 'cleartrace[serve]'") from error
    client = upstream.client()

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        yield
        await client.aclose()
        await briefing.close()

    async def health(request: Any) -> Any:
        return JSONResponse({"status": "ok", "provider": briefing.provider.hash})

    async def forward(request: Any) -> Any:
        return await _forward(request, client, briefing, upstream, keep_key=token is None)

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    routes = [Route(HEALTH, health), Route("/v1/{path:path}", forward, methods=methods)]
    app = Starlette(routes=routes, lifespan=lifespan)
    return Guarded(app, token, (HEALTH,)) if token else app


async def _forward(
    request: Any, client: httpx.AsyncClient, briefing: Briefing, upstream: Upstream, keep_key: bool
) -> Any:
    from starlette.responses import JSONResponse, StreamingResponse

    content, added = await request.body(), None
    if request.method == "POST" and shape_of(request.url.path):
        try:
            content, added = await _briefed(content, request.url.path, briefing)
        except Exception as error:
            return JSONResponse(_error(f"the context could not be made: {type(error).__name__}: {error}"), 502)
    headers = _passed_on(request.headers, upstream, keep_key)
    url = upstream.url.rstrip("/") + request.url.path.removeprefix("/v1")
    url += f"?{request.url.query}" if request.url.query else ""
    try:
        sent = client.build_request(request.method, url, headers=headers, content=content)
        answer = await client.send(sent, stream=True)
    except httpx.HTTPError as error:
        return JSONResponse(_error(f"{upstream.url} does not answer: {type(error).__name__}: {error}"), 502)
    back = [(name, value) for name, value in answer.headers.multi_items() if name.lower() not in _HOP]
    response = StreamingResponse(_bytes(answer), answer.status_code)
    response.raw_headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in back]
    for name, value in _said(added).items():
        response.headers[name] = value
    return response


async def _bytes(answer: httpx.Response) -> AsyncIterator[bytes]:
    """As they come. The upstream is let go also when the client hangs up."""
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


async def _briefed(content: bytes, path: str, briefing: Briefing) -> tuple[bytes, Added | None]:
    """A request that is no JSON object, or has no conversation, is the upstream's to refuse."""
    shape = shape_of(path)
    try:
        body = json.loads(content)
    except ValueError:
        return content, None
    if shape is None or not isinstance(body, dict):
        return content, None
    changed, added = await briefing.body(body, shape)
    if added is None or not added.context.text:
        return content, added
    return json.dumps(changed).encode(), added


def _passed_on(given: Mapping[str, str], upstream: Upstream, keep_key: bool) -> dict[str, str]:
    headers = {name: value for name, value in given.items() if name.lower() not in _HOP}
    if upstream.key:
        headers["authorization"] = f"Bearer {upstream.key}"
    elif not keep_key:
        headers.pop("authorization", None)
    return headers


def _said(added: Added | None) -> dict[str, str]:
    if added is None:
        return {}
    parts = ",".join(f"{part.kind.value}:{part.id}" for part in added.context.parts)
    said = {"X-Context-Provider": added.context.provider_hash, "X-Context-Parts": parts}
    said["X-Context-Abstained"] = "yes" if added.context.abstained else "no"
    if added.failure:
        said["X-Context-Failure"] = added.failure
    return {name: value.encode("ascii", "replace").decode().replace("\n", " ")[:500] for name, value in said.items()}


def _error(message: str) -> dict[str, Any]:
    """In the shape that OpenAI's clients read."""
    return {"error": {"message": message, "type": "context_error", "param": None, "code": None}}
