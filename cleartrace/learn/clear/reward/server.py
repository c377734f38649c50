"""The reward service over HTTP: POST /score, GET /health, GET /stats. A caller that hangs up cancels its runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
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
from cleartrace.learn.clear.reward.types import Ask, Graded
from cleartrace.serving import Guarded, NotServed, check_binding, listen, run

HEALTH = "/health"
_START_S = 120.0
_HUNG_UP = 499


@dataclass(frozen=True)
class ServeOptions:
    """Where it listens and keeps its runs. `port` 0 takes a free one. `token` is wanted beyond loopback."""

    store: Path
    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = None


def build_app(service: RewardService, token: str | None = None) -> Any:
    """An ASGI application. With `token`, all but /health want it as their bearer token."""
    try:
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route
    except ImportError as error:
        raise NotServed(f"this needs starlette and uvicorn ({error}): pip install 'cleartrace[serve]'") from error

    async def score(request: Any) -> Any:
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

    async def health(request: Any) -> Any:
        return JSONResponse({"status": "ok", "agent": service.agent})

    async def stats(request: Any) -> Any:
        return JSONResponse(service.stats.model_dump())

    app = Starlette(
        routes=[Route("/score", score, methods=["POST"]), Route(HEALTH, health), Route("/stats", stats)],
    )
    return Guarded(app, token, open_paths=(HEALTH,)) if token else app


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
        WorkplaceError, NotServed: before anything is run.
    """
    check_binding(options.host, options.token, TOKEN_VARIABLE)
    async with AsyncExitStack() as stack:
        place = await open_workplace(config, EpisodeStore(options.store), stack)
        app = build_app(RewardService.at(place, rules), options.token)
        await run(app, listen(options.host, options.port), started)


@contextmanager
def serving(config: AgentConfig, rules: RewardRules, options: ServeOptions) -> Iterator[str]:
    """A service in a thread of this process, for the time of the block; its address is also in the environment.

    Raises:
        WorkplaceError, NotServed: it cannot be started.
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
