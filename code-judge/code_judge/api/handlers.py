"""What POST requests for runs do, from body bytes to answer bytes. The routes and their schema are in `app`."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from redis.exceptions import RedisError

from code_judge.api import sandbox_fusion
from code_judge.api.judge import Judge
from code_judge.api.models import BatchRequest, RunRequest
from code_judge.api.protocol import BatchSubmission, Submission, only_verdict, safe_text
from code_judge.dispatcher import OtherContent, QueueFull
from code_judge.textjson import dump_json, load_json

NDJSON = "application/x-ndjson"


@dataclass(frozen=True)
class Call:
    """A request, as far as handlers need it. `client`: whose turn it takes."""

    body: bytes
    client: str
    accept: str = ""


@dataclass(frozen=True)
class Answer:
    """`stream` gives the body in parts instead."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    media: str = "application/json"
    stream: AsyncIterator[bytes] | None = None


Handler = Callable[[Call], Awaitable[Answer]]


class BadBody(ValueError):
    """A body that fails validation; `rows` say where and why."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__(f"{rows}")
        self.rows = rows


class TooMany(ValueError):
    """More items than one request may hold."""


def answer_json(value: Any, status: int = 200) -> Answer:
    return Answer(status, dump_json(value))


def problem(status: int, detail: Any, **headers: str) -> Answer:
    return Answer(status, dump_json({"detail": detail}), headers)


def loads(body: bytes) -> Any:
    """JSON, lone surrogates allowed. Raises BadBody."""
    try:
        return load_json(body)
    except (ValueError, RecursionError) as error:
        raise BadBody([{"loc": ["body"], "msg": f"not JSON: {error}", "type": "json_invalid"}]) from None


def validated(model: type[BaseModel], value: Any) -> Any:
    """Raises BadBody."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        rows = error.errors(include_url=False, include_input=False, include_context=False)
        raise BadBody([{**row, "loc": ["body", *row["loc"]]} for row in rows[:20]]) from None


class Handlers:
    """One method per endpoint."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.table: dict[str, Handler] = {
            "/run": self._single(verdict=False),
            "/judge": self._single(verdict=True),
            "/run/batch": self._batch(long=False, verdict=False),
            "/judge/batch": self._batch(long=False, verdict=True),
            "/run/long-batch": self._batch(long=True, verdict=False),
            "/judge/long-batch": self._batch(long=True, verdict=True),
            "/v2/runs": self._run,
            "/v2/batches": self._many,
            "/run_code": self._run_code,
        }

    async def answer(self, path: str, call: Call) -> Answer:
        """Never raises for what a client did."""
        try:
            return await self.table[path](call)
        except BadBody as error:
            return problem(422, error.rows)
        except TooMany as error:
            return problem(413, str(error))
        except OtherContent as error:
            return problem(409, str(error))
        except QueueFull as error:
            self.judge.metrics.refused()
            return problem(429, str(error), **{"retry-after": "1"})
        except (RedisError, OSError) as error:
            return problem(503, f"queue: {type(error).__name__}: {error}", **{"retry-after": "1"})

    def _check_size(self, count: int) -> None:
        most = self.judge.settings.max_pending
        if count > most:
            raise TooMany(f"{count} items in one request; this server takes {most}: send several requests")

    def _single(self, verdict: bool) -> Handler:
        async def handle(call: Call) -> Answer:
            value = loads(call.body)
            validated(Submission, value)
            with self.judge.dispatcher.admit(1):
                row = await self.judge.one(value, long=False, client=call.client)
            return answer_json(only_verdict(row) if verdict else row)

        return handle

    def _batch(self, long: bool, verdict: bool) -> Handler:
        async def handle(call: Call) -> Answer:
            body = validated(BatchSubmission, loads(call.body))
            self._check_size(len(body.submissions))
            with self.judge.dispatcher.admit(len(body.submissions)):
                rows = await self.judge.many(body.submissions, long, call.client)
            results = [only_verdict(row) for row in rows] if verdict else rows
            return answer_json({"sub_id": safe_text(body.sub_id or str(uuid.uuid4())), "results": results})

        return handle

    async def _run(self, call: Call) -> Answer:
        request = validated(RunRequest, loads(call.body))
        with self.judge.dispatcher.admit(1):
            return answer_json(await self.judge.run(request, call.client))

    async def _many(self, call: Call) -> Answer:
        runs = validated(BatchRequest, loads(call.body)).runs
        self._check_size(len(runs))
        room = self.judge.dispatcher.admit(len(runs))
        if NDJSON in call.accept:
            room.__enter__()
            return Answer(200, media=NDJSON, stream=self._lines(runs, call.client, room))
        with room:
            rows: list[Any] = [None] * len(runs)
            async for index, row in self.judge.stream(runs, call.client, whole=True):
                rows[index] = row
        return answer_json({"results": rows})

    async def _lines(self, runs: list[Any], client: str, room: Any) -> AsyncIterator[bytes]:
        try:
            async for index, row in self.judge.stream(runs, client, whole=False):
                yield dump_json({"index": index, **row}) + b"\n"
        finally:
            room.__exit__(None, None, None)

    async def _run_code(self, call: Call) -> Answer:
        asked = validated(sandbox_fusion.RunCodeRequest, loads(call.body))
        try:
            request = sandbox_fusion.to_run(asked)
        except ValidationError as error:
            raise BadBody([{"loc": ["body"], "msg": str(error.errors()[0]["msg"]), "type": "value_error"}]) from None
        if request is None:
            return answer_json(sandbox_fusion.unsupported(asked.language))
        with self.judge.dispatcher.admit(1):
            row = await self.judge.run(request, call.client)
        return answer_json(sandbox_fusion.to_answer(row, asked.language))
