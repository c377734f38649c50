"""The reward service over HTTP: POST /score, GET /health, GET /stats. A caller that hangs up cancels its runs."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.agents.workplace import AgentConfig, WorkplaceError, open_workplace
from cleartrace.episodes.store import EpisodeStore
from cleartrace.learn.clear.reward.names import TOKEN_VARIABLE, URL_VARIABLE
from cleartrace.learn.clear.reward.options import RewardRules
from cleartrace.learn.clear.reward.service import AskError, RewardService
from cleartrace.learn.clear.reward.types import Ask, Graded, Stats

_START_S = 120.0
_HUNG_UP = 499


@dataclass(frozen=True)
class ServeOptions:
    """Where it listens and keeps its runs. `port` 0 takes a free one. `token` is wanted beyond loopback."""

    store: Path
    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = None


def check_binding(options: ServeOptions) -> None:
    """Raises `WorkplaceError` for an address that others reach without a token."""
    try:
        loopback = options.host == "localhost" or ipaddress.ip_address(options.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not options.token:
        raise WorkplaceError(
            f"{options.host} can be reached from other machines: export {TOKEN_VARIABLE} here and where the trainer "
            "runs, or listen on 127.0.0.1"
        )


def build_app(service: RewardService, token: str | None = None) -> Any:
    """A FastAPI application. With `token`, all but /health want `Authorization: Bearer TOKEN`."""
    try:
        from fastapi import FastAPI, Request
        from fastapi.responses import JSONResponse
    except ImportError as error:
        raise WorkplaceError(
            f"the reward service needs FastAPI and uvicorn ({error}): pip install 'cleartrace[clear]'"
        ) from error

    app = FastAPI(title="cleartrace reward", docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def authorize(request: Request, call_next: Any) -> Any:
        given = request.headers.get("Authorization", "").encode()
        if token and request.url.path != "/health" and not hmac.compare_digest(given, f"Bearer {token}".encode()):
            return JSONResponse({"detail": "the bearer token is missing or wrong"}, 401)
        return await call_next(request)

    async def score(request: Request) -> Any:
        try:
            ask = Ask.model_validate_json(await request.body())
        except ValueError as error:
            return JSONResponse({"detail": f"not a request for a score: {error}"}, 422)
        try:
            graded = await _while_connected(request, service.grade(ask))
        except AskError as error:
            return JSONResponse({"detail": str(error)}, 422)
        if graded is None:
            return JSONResponse({"detail": "the caller hung up"}, _HUNG_UP)
        return JSONResponse(graded.model_dump())

    async def health() -> dict[str, str]:
        return {"status": "ok", "agent": service.agent}

    async def stats() -> Stats:
        return service.stats

    # Without decorators: annotations of a nested function name what only it can see.
    app.add_api_route("/health", health, response_model=None)
    app.add_api_route("/stats", stats, response_model=Stats)
    app.add_route("/score", score, methods=["POST"])
    return app


async def _while_connected(request: Any, work: Any) -> Graded | None:
    """Its result, or None when the caller went away first; then it is cancelled."""
    grading, gone = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({grading, gone}, return_when=asyncio.FIRST_COMPLETED)
        return grading.result() if grading.done() else None
    finally:
        for task in (grading, gone):
            task.cancel()
        await asyncio.gather(grading, gone, return_exceptions=True)


async def _hung_up(request: Any) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def serve(
    config: AgentConfig,
    rules: RewardRules,
    options: ServeOptions,
    started: Callable[[str, Callable[[], None]], None],
) -> None:
    """Serve until stopped or interrupted.

    Args:
        started: called with the address, and with what stops it.

    Raises:
        WorkplaceError: before anything is run.
    """
    check_binding(options)
    async with AsyncExitStack() as stack:
        place = await open_workplace(config, EpisodeStore(options.store), stack)
        app = build_app(RewardService.at(place, rules), options.token)
        import uvicorn

        listener = socket.create_server((options.host, options.port))
        stack.callback(listener.close)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3))
        host, port = listener.getsockname()[:2]

        def stop() -> None:
            server.should_exit = True

        # The socket listens already: whoever calls before the server has started waits for it.
        started(f"http://{host}:{port}", stop)
        await server.serve(sockets=[listener])


@contextmanager
def serving(config: AgentConfig, rules: RewardRules, options: ServeOptions) -> Iterator[str]:
    """A service in a thread of this process, for the time of the block; its address is also in the environment.

    Raises:
        WorkplaceError: it cannot be started.
    """
    ready = threading.Event()
    found: dict[str, Any] = {}

    def begin(url: str, stop: Callable[[], None]) -> None:
        found.update(url=url, stop=stop)
        ready.set()

    def work() -> None:
        try:
            asyncio.run(serve(config, rules, options, begin))
        except BaseException as error:
            found["error"] = error
        finally:
            ready.set()

    thread = threading.Thread(target=work, name="reward-service", daemon=True)
    thread.start()
    if not ready.wait(_START_S) or "url" not in found:
        raise found.get("error") or WorkplaceError(f"the reward service did not start within {_START_S:g} s")
    try:
        with _environment({URL_VARIABLE: found["url"], TOKEN_VARIABLE: options.token}):
            yield found["url"]
    finally:
        found["stop"]()
        thread.join(10.0)


@contextlib.contextmanager
def _environment(values: dict[str, str | None]) -> Iterator[None]:
    """Variables for the time of the block; processes that are started in it inherit them."""
    before = {name: os.environ.get(name) for name in values}

    def put(wanted: dict[str, str | None]) -> None:
        for name, value in wanted.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    put(values)
    try:
        yield
    finally:
        put(before)
