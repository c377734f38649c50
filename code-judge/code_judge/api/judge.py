"""From request bodies to jobs, from reports to result rows."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from pydantic import ValidationError
from redis.exceptions import RedisError

from code_judge.api.metrics import Metrics
from code_judge.api.models import RunRequest
from code_judge.api.protocol import (
    BadSubmission,
    Submission,
    named_limits,
    parse_item,
    result_row,
    run_limits,
    safe_text,
    wants_echo,
)
from code_judge.dispatcher import Dispatcher, OtherContent
from code_judge.jobs import Job, Outcome, Report, Suite
from code_judge.languages import LANGUAGES
from code_judge.settings import Settings

_AT_ONCE = 32
"""So many items of a batch are begun before others get the loop: the first ones run while the rest are read."""
_ANSWER_S = 60.0
"""Beyond queue life and wall limit: what answering may take when a worker is lost on the way."""


def job_id(sub_id: str | None, *content: Any) -> str:
    """The same sub_id with the same content is the same job; without a sub_id every submission is its own."""
    if not sub_id:
        return uuid.uuid4().hex
    return hashlib.sha256(json.dumps([sub_id, *content]).encode()).hexdigest()


class Judge:
    """Turns request items into result rows. `client`: who asks, for fair turns."""

    def __init__(self, settings: Settings, dispatcher: Dispatcher, metrics: Metrics) -> None:
        self.settings = settings
        self.dispatcher = dispatcher
        self.metrics = metrics

    async def one(self, item: Any, long: bool, client: str) -> dict[str, Any]:
        """A published submission. Never raises for a bad item: the row says `rejected`."""
        begun = time.monotonic()
        asked = item.get("sub_id") if isinstance(item, dict) else None
        sub_id = asked if isinstance(asked, str) and asked else str(uuid.uuid4())
        expected = None
        try:
            submission = parse_item(item)
            expected = submission.expected_output
            kept_s = self._kept_s(whole=long, sub_id=submission.sub_id)
            report = await self._submit(self._job(submission), long, client, None, kept_s)
        except BadSubmission as error:
            report = Report(Outcome.REJECTED, detail=str(error))
        return self._row(sub_id, report, expected, begun)

    def _row(self, sub_id: str, report: Report, expected: str | None, begun: float) -> dict[str, Any]:
        row = result_row(sub_id, report, expected, time.monotonic() - begun)
        self.metrics.finished(row)
        return row

    def _job(self, submission: Submission) -> Job:
        if submission.type not in LANGUAGES:
            raise BadSubmission(f"type {submission.type!r} has no executor; available: {', '.join(LANGUAGES)}")
        limits, echo = run_limits(named_limits(submission), self.settings), wants_echo(submission)
        if echo and submission.type != "python":
            raise BadSubmission("options.echo: only for type 'python'")
        name = job_id(submission.sub_id, submission.type, submission.solution, submission.input, repr(limits), echo)
        return Job(name, submission.type, submission.solution, submission.input, echo, limits)

    def _kept_s(self, whole: bool, sub_id: str | None) -> int:
        """Long where early results of one answer wait for late ones, and who lost that answer can ask again."""
        return self.settings.long_result_ttl_s if whole and sub_id else self.settings.result_ttl_s

    async def _submit(
        self, job: Job, long: bool, client: str, deadline_s: float | None, kept_s: int, name: str = ""
    ) -> Report:
        if long:
            wait_s = deadline_s or self.settings.long_batch_wait_s
            return await self.dispatcher.submit(job, client, wait_s, None, kept_s, name)
        life_s = self.settings.queue_life_s
        return await self.dispatcher.submit(job, client, life_s + job.limits.wall_s + _ANSWER_S, life_s, kept_s)

    async def run(self, request: RunRequest, client: str, whole: bool = False) -> dict[str, Any]:
        """A version 2 run; `whole`: its row waits for others of one answer. Raises OtherContent."""
        begun = time.monotonic()
        limits = run_limits(request.limits, self.settings)
        suite = None
        if request.suite is not None:
            fields = request.suite.model_dump(exclude_none=True, exclude={"cases"})
            cases = [case.model_dump(exclude_none=True) for case in request.suite.cases]
            wall_s = min(request.suite.wall_s or self.settings.max_suite_s, self.settings.max_suite_s)
            suite = Suite(**{**fields, "cases": cases, "wall_s": wall_s})
        content = json.dumps(request.model_dump(exclude={"sub_id", "deadline_s", "expected_output"}, warnings="none"))
        name = job_id(request.sub_id, content)
        job = Job(
            name, request.language, request.source, request.stdin, request.echo, limits, suite, request.files,
            request.fetch, request.binary,
        )  # fmt: skip
        kept_s = self._kept_s(whole, request.sub_id)
        report = await self._submit(job, True, client, request.deadline_s, kept_s, request.sub_id or "")
        return self._row(request.sub_id or name, report, request.expected_output, begun)

    async def item(self, item: Any, client: str, whole: bool) -> dict[str, Any]:
        """An item of a version 2 batch: what is wrong with it is its own row."""
        begun, outcome = time.monotonic(), Outcome.REJECTED
        try:
            return await self.run(RunRequest.model_validate(item), client, whole)
        except ValidationError as error:
            first = error.errors()[0]
            detail = f"{'.'.join(map(str, first['loc'])) or 'run'}: {first['msg']}"
        except OtherContent as error:
            detail = str(error)
        except (RedisError, OSError) as error:
            outcome, detail = Outcome.INFRA_ERROR, f"queue: {type(error).__name__}: {error}"
        asked = item.get("sub_id") if isinstance(item, dict) else None
        sub_id = safe_text(asked) if isinstance(asked, str) else uuid.uuid4().hex
        return self._row(sub_id, Report(outcome, detail=detail), None, begun)

    async def many(self, items: list[Any], long: bool, client: str) -> list[dict[str, Any]]:
        """Rows in input order."""
        return list(await asyncio.gather(*(self.one(item, long, client) for item in items)))

    async def stream(self, items: list[Any], client: str, whole: bool) -> AsyncIterator[tuple[int, dict[str, Any]]]:
        """Rows of a version 2 batch as they come, each with its place. `whole`: they are sent when all are there."""

        done: asyncio.Queue[asyncio.Task[tuple[int, dict[str, Any]]]] = asyncio.Queue()
        tasks: list[asyncio.Task[Any]] = []

        async def numbered(index: int, item: Any) -> tuple[int, dict[str, Any]]:
            return index, await self.item(item, client, whole)

        async def begin() -> None:
            for index, item in enumerate(items):
                tasks.append(asyncio.create_task(numbered(index, item)))
                tasks[-1].add_done_callback(done.put_nowait)
                if index % _AT_ONCE == _AT_ONCE - 1:
                    await asyncio.sleep(0)

        beginning = asyncio.create_task(begin())
        try:
            for _ in items:
                yield (await done.get()).result()
        finally:
            for task in (beginning, *tasks):
                task.cancel()
