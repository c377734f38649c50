"""The ASGI application: routes with their schema, bearer token, health; runs take a short way past the framework."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel
from redis.exceptions import RedisError

from code_judge import __version__
from code_judge.api.fast import FastPath
from code_judge.api.handlers import Call, Handlers
from code_judge.api.judge import Judge
from code_judge.api.metrics import Metrics
from code_judge.api.models import BatchRequest, RunRequest
from code_judge.api.protocol import BatchJudgeResult, BatchResult, BatchSubmission, JudgeResult, Submission
from code_judge.api.protocol import SubmissionResult as Ran
from code_judge.api.sandbox_fusion import RunCodeRequest
from code_judge.api.sessions import session_router
from code_judge.broker import Broker, connect
from code_judge.dispatcher import Dispatcher
from code_judge.settings import Settings

_CANARY = {"solution": "print(6 * 7)", "expected_output": "42"}
_CANARY_WAIT_S = 5.0


class V2Results(BaseModel):
    results: list[Ran]


_ROUTES: tuple[tuple[str, type[BaseModel], Any, str], ...] = (
    ("/run", Submission, Ran, "Run one program"),
    ("/judge", Submission, JudgeResult, "Run one program, verdict only"),
    ("/run/batch", BatchSubmission, BatchResult, "Run several; 4 s queue life"),
    ("/judge/batch", BatchSubmission, BatchJudgeResult, "Judge several; 4 s queue life"),
    ("/run/long-batch", BatchSubmission, BatchResult, "Run several; no queue life"),
    ("/judge/long-batch", BatchSubmission, BatchJudgeResult, "Judge several; no queue life"),
    ("/v2/runs", RunRequest, Ran, "Run one program: limits, files, suites, deadline"),
    ("/v2/batches", BatchRequest, V2Results, "Run several; with `Accept: application/x-ndjson` a line as each is done"),
    ("/run_code", RunCodeRequest, dict[str, Any], "SandboxFusion's request and answer"),
)


def create_app(queue_url: str, settings: Settings) -> FastPath:
    """The ASGI application. It connects to the queue when it starts."""
    broker = Broker(connect(queue_url, max_connections=64), settings.key_prefix)
    dispatcher = Dispatcher(broker, settings.max_pending)
    metrics = Metrics(dispatcher)
    judge = Judge(settings, dispatcher, metrics)
    handlers = Handlers(judge)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await dispatcher.start()
        yield
        await dispatcher.stop()

    def allows(authorization: str) -> bool:
        return not settings.token or hmac.compare_digest(authorization.encode(), f"Bearer {settings.token}".encode())

    async def authorized(request: Request) -> None:
        if not allows(request.headers.get("authorization", "")):
            raise HTTPException(401, "missing or wrong bearer token", {"WWW-Authenticate": "Bearer"})

    app = FastAPI(title="code-judge", version=__version__, lifespan=lifespan)
    guard = [Depends(authorized)]
    _add_health(app, judge, metrics, guard)
    _add_runs(app, handlers, guard)
    app.include_router(session_router(dispatcher, settings), dependencies=guard)
    return FastPath(app, handlers, allows, settings.max_body_mb << 20)


def _add_runs(app: FastAPI, handlers: Handlers, guard: list[Any]) -> None:
    """For the schema, and for servers that do not come through FastPath."""

    async def answer(request: Request) -> Response:
        host = request.client.host if request.client else ""
        call = Call(await request.body(), host, request.headers.get("accept", ""))
        got = await handlers.answer(request.url.path, call)
        if got.stream is not None:
            return StreamingResponse(got.stream, got.status, media_type=got.media)
        return Response(got.body, got.status, got.headers, got.media)

    for path, body, result, summary in _ROUTES:
        schema = {"content": {"application/json": {"schema": body.model_json_schema(ref_template=_REFERENCE)}}}
        app.add_api_route(
            path, answer, methods=["POST"], dependencies=guard, summary=summary, response_model=result,
            openapi_extra={"requestBody": {**schema, "required": True}}, name=path,
        )  # fmt: skip


_REFERENCE = "#/$defs/{model}"


def _add_health(app: FastAPI, judge: Judge, metrics: Metrics, guard: list[Any]) -> None:
    dispatcher = judge.dispatcher

    @app.get("/ping", summary="The API process answers", response_description='"pong"')
    async def ping() -> str:
        return "pong"

    @app.get("/status", dependencies=guard, summary="Queue length, live workers, their isolation")
    async def status() -> JSONResponse:
        try:
            now = await dispatcher.broker.status()
        except RedisError as error:
            return JSONResponse({"detail": f"queue: {error}"}, status_code=503)
        weakest = min(now.supervisors, key=lambda row: row["level"], default=None)
        body = {
            "queue": now.waiting + dispatcher.waiting,
            "num_workers": now.slots,
            "running": now.running,
            "isolation": weakest["isolation"] if weakest else "",
            "level": weakest["level"] if weakest else "",
            "sessions": sum(row["sessions"] for row in now.supervisors),
            "supervisors": list(now.supervisors),
            "version": __version__,
        }
        return JSONResponse(body)

    @app.get("/healthz", dependencies=guard, summary="A canary program runs end to end")
    async def healthz() -> JSONResponse:
        begun = time.monotonic()
        try:
            row = await asyncio.wait_for(judge.one(_CANARY, False, "healthz"), _CANARY_WAIT_S)
        except asyncio.TimeoutError:
            return JSONResponse({"healthy": False, "detail": "no worker ran the canary in time"}, status_code=503)
        body = {"healthy": row["success"], "detail": row["detail"], "seconds": time.monotonic() - begun}
        return JSONResponse(body, status_code=200 if row["success"] else 503)

    @app.get("/metrics", dependencies=guard, summary="Prometheus metrics")
    async def prometheus() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
