"""The HTTP service: published endpoints, /healthz, bearer token."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError

from code_judge import __version__
from code_judge.broker import Broker, connect
from code_judge.dispatcher import Dispatcher, QueueFull
from code_judge.jobs import Job, Outcome, Report, RunLimits
from code_judge.languages import LANGUAGES
from code_judge.protocol import (
    BadSubmission,
    BatchJudgeResult,
    BatchResult,
    BatchSubmission,
    JudgeResult,
    Submission,
    SubmissionResult,
    parse_item,
    run_limits,
    safe_text,
    to_result,
    wants_echo,
)
from code_judge.settings import Settings

_OUTPUT_FIELDS = {name for name in SubmissionResult.model_fields if name not in JudgeResult.model_fields}
_CANARY = "print(6 * 7)"
_CANARY_WAIT_S = 5.0


def job_id(submission: Submission, limits: RunLimits, echo: bool) -> str:
    """The same sub_id with the same content is the same job; without a sub_id every submission is its own."""
    if not submission.sub_id:
        return uuid.uuid4().hex
    content = [submission.sub_id, submission.type, submission.solution, submission.input, repr(limits), echo]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


class Judge:
    """Turns request items into results."""

    def __init__(self, settings: Settings, dispatcher: Dispatcher) -> None:
        self.settings = settings
        self.dispatcher = dispatcher

    async def one(self, item: Any, long: bool) -> SubmissionResult:
        """Never raises for a bad item: the result says `rejected`."""
        begun = time.monotonic()
        asked = item.get("sub_id") if isinstance(item, dict) else getattr(item, "sub_id", None)
        sub_id = asked if isinstance(asked, str) and asked else str(uuid.uuid4())
        expected = None
        try:
            submission = item if isinstance(item, Submission) else parse_item(item)
            expected = submission.expected_output
            report = await self._run(submission, long)
        except BadSubmission as error:
            report = Report(Outcome.REJECTED, detail=str(error))
        return to_result(sub_id, report, expected, time.monotonic() - begun)

    async def _run(self, submission: Submission, long: bool) -> Report:
        if submission.type not in LANGUAGES:
            raise BadSubmission(f"type {submission.type!r} has no executor; available: {', '.join(LANGUAGES)}")
        limits, echo = run_limits(submission, self.settings), wants_echo(submission)
        if echo and submission.type != "python":
            raise BadSubmission("options.echo: only for type 'python'")
        job = Job(
            job_id(submission, limits, echo), submission.type, submission.solution, submission.input, echo, limits
        )
        if long:
            return await self.dispatcher.submit(
                job, None, self.settings.long_batch_wait_s, self.settings.long_result_ttl_s
            )
        life_s = self.settings.queue_life_s
        return await self.dispatcher.submit(job, life_s, life_s + limits.wall_s + 60, self.settings.result_ttl_s)

    async def many(self, items: list[Any], long: bool) -> list[SubmissionResult]:
        """Results in input order. A sliding window bounds what one batch has in the queue at a time."""
        asked = self.settings.long_batch_window if long else self.settings.batch_window
        room = asyncio.Semaphore(asked or len(items))

        async def within(item: Any) -> SubmissionResult:
            async with room:
                return await self.one(item, long)

        return list(await asyncio.gather(*(within(item) for item in items)))


def _answer(sub_id: str | None, results: list[SubmissionResult], judge: bool) -> JSONResponse:
    exclude = _OUTPUT_FIELDS if judge else None
    rows = [result.model_dump(mode="json", exclude=exclude) for result in results]
    return JSONResponse({"sub_id": safe_text(sub_id or str(uuid.uuid4())), "results": rows})


def create_app(queue_url: str, settings: Settings) -> FastAPI:
    """The ASGI application. It connects to the queue when it starts."""
    broker = Broker(connect(queue_url, max_connections=512), settings.key_prefix)
    dispatcher = Dispatcher(broker, settings.max_pending)
    judge = Judge(settings, dispatcher)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await dispatcher.start()
        yield
        await dispatcher.stop()

    async def authorized(request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if settings.token and not hmac.compare_digest(given, f"Bearer {settings.token}".encode()):
            raise HTTPException(401, "missing or wrong bearer token", {"WWW-Authenticate": "Bearer"})

    app = FastAPI(title="code-judge", version=__version__, lifespan=lifespan)

    @app.exception_handler(QueueFull)
    async def full(_: Request, error: QueueFull) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=429, headers={"Retry-After": "1"})

    _add_health(app, judge, broker, authorized)
    _add_runs(app, judge, authorized)
    return app


def _add_health(app: FastAPI, judge: Judge, broker: Broker, authorized: Any) -> None:
    @app.get("/ping", summary="The API process answers", response_description='"pong"')
    async def ping() -> str:
        return "pong"

    @app.get("/status", dependencies=[Depends(authorized)], summary="Queue length and live workers")
    async def status() -> JSONResponse:
        try:
            now = await broker.status()
        except RedisError as error:
            return JSONResponse({"detail": f"queue: {error}"}, status_code=503)
        labels = sorted({row["isolation"] for row in now.supervisors})
        body = {
            "queue": now.waiting,
            "num_workers": sum(row["slots"] for row in now.supervisors),
            "running": now.running,
            "isolation": labels[0] if labels else "",
            "supervisors": now.supervisors,
            "version": __version__,
        }
        return JSONResponse(body)

    @app.get("/healthz", dependencies=[Depends(authorized)], summary="A canary program runs end to end")
    async def healthz() -> JSONResponse:
        begun = time.monotonic()
        canary = Submission.model_validate({"solution": _CANARY, "expected_output": "42"})
        try:
            result = await asyncio.wait_for(judge.one(canary, long=False), _CANARY_WAIT_S)
        except asyncio.TimeoutError:
            return JSONResponse({"healthy": False, "detail": "no worker ran the canary in time"}, status_code=503)
        body = {"healthy": result.success, "detail": result.detail, "seconds": time.monotonic() - begun}
        return JSONResponse(body, status_code=200 if result.success else 503)


def _add_runs(app: FastAPI, judge: Judge, authorized: Any) -> None:
    guard = [Depends(authorized)]

    async def single(submission: Submission) -> SubmissionResult:
        with judge.dispatcher.admit(1):
            return await judge.one(submission, long=False)

    async def batch(body: BatchSubmission, long: bool, only_verdict: bool) -> JSONResponse:
        with judge.dispatcher.admit(len(body.submissions)):
            results = await judge.many(body.submissions, long)
        return _answer(body.sub_id, results, only_verdict)

    @app.post("/run", dependencies=guard, response_model=SubmissionResult, summary="Run one program")
    async def run(submission: Submission) -> JSONResponse:
        return JSONResponse((await single(submission)).model_dump(mode="json"))

    @app.post("/judge", dependencies=guard, response_model=JudgeResult, summary="Run one program, verdict only")
    async def verdict(submission: Submission) -> JSONResponse:
        return JSONResponse((await single(submission)).model_dump(mode="json", exclude=_OUTPUT_FIELDS))

    @app.post("/run/batch", dependencies=guard, response_model=BatchResult, summary="Run several; 4 s queue life")
    async def run_batch(body: BatchSubmission) -> JSONResponse:
        return await batch(body, False, False)

    @app.post("/judge/batch", dependencies=guard, response_model=BatchJudgeResult, summary="Judge several")
    async def judge_batch(body: BatchSubmission) -> JSONResponse:
        return await batch(body, False, True)

    @app.post("/run/long-batch", dependencies=guard, response_model=BatchResult, summary="Run several; no queue life")
    async def run_long(body: BatchSubmission) -> JSONResponse:
        return await batch(body, True, False)

    @app.post("/judge/long-batch", dependencies=guard, response_model=BatchJudgeResult, summary="Judge several; waits")
    async def judge_long(body: BatchSubmission) -> JSONResponse:
        return await batch(body, True, True)
