"""Runs a suite: one program, many cases. What is expected stays here, or in the checker's process."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from code_judge.comparing import NOT_RUN, plain, texts_equal, values_equal
from code_judge.jobs import Job, Outcome, Report, Suite
from code_judge.sandbox.agent_run import AgentRun
from code_judge.sandbox.answers import Answer, Status
from code_judge.sandbox.kinds import Kind, kind_of
from code_judge.sandbox.slot import Finished, Part, Request, Slot, SlotLimits
from code_judge.slots import SlotPool
from code_judge.verdicts import STOPPED, admitted, slot_limits, to_report

_SOLUTION = ("frames", "values", "cells", "solution")
_CHECKER = ("frames", "values", "cells", "checker")
_CASE_CHARS = 1000
_ALL_CASES_CHARS = 4 << 20
"""Of the texts of all cases together: what comes after has its verdict only."""


@dataclass
class Tally:
    """Verdicts so far."""

    job: Job
    suite: Suite
    deadline: float
    cases: list[dict[str, Any]] = field(default_factory=list)
    cpu_s: float = 0.0
    max_rss_mb: float = 0.0
    chars_left: int = _ALL_CASES_CHARS

    @property
    def over(self) -> bool:
        """No further case is run."""
        stopped = self.suite.stop_early and bool(self.cases) and self.cases[-1]["outcome"] != Outcome.OK
        return stopped or time.monotonic() > self.deadline or len(self.cases) == len(self.suite.cases)

    def add(self, outcome: Outcome, cpu_s: float, wall_s: float, **facts: Any) -> None:
        self.cpu_s += cpu_s
        known = {name: short for name, value in facts.items() if (short := self._kept(value)) not in (None, "")}
        self.cases.append({"outcome": outcome.value, "cpu_s": round(cpu_s, 6), "wall_s": round(wall_s, 6), **known})

    def _kept(self, value: Any) -> Any:
        if isinstance(value, str):
            value = value[: self.chars_left]
            self.chars_left -= len(value)
        return value

    def add_refusal(self, refusal: Report) -> None:
        """A case whose program could not be loaded again."""
        self.add(
            refusal.outcome, refusal.cpu_s, refusal.wall_s, stdout=refusal.stdout[:_CASE_CHARS],
            stderr=refusal.stderr[:_CASE_CHARS], detail=refusal.detail, error_class=refusal.error_class,
            error_message=refusal.error_message, line=refusal.error_line,
        )  # fmt: skip

    def add_part(self, outcome: Outcome, answer: Answer, part: Part) -> None:
        """A case that was a part of a longer run."""
        self.max_rss_mb = max(self.max_rss_mb, part.memory / 2**20)
        out, err = (data.decode("utf-8", "replace")[:_CASE_CHARS] for data in (part.stdout, part.stderr))
        why = part.stopped.value if part.stopped else ""
        self.add(
            outcome, max(answer.cpu_s, part.cpu_s), part.wall_s, stdout=out, stderr=err, detail=why,
            error_class=answer.error_class, error_message=answer.message, line=answer.line,
        )  # fmt: skip

    def report(self) -> Report:
        """Of the whole suite: the first case that is not `ok` gives the outcome."""
        failed = [case["outcome"] for case in self.cases if case["outcome"] != Outcome.OK]
        missing = len(self.suite.cases) - len(self.cases)
        outcome = Outcome(failed[0]) if failed else Outcome.TIME_LIMIT if missing else Outcome.OK
        detail = "" if failed or not missing else f"suite: {missing} cases were not reached in {self.suite.wall_s:g} s"
        if outcome is Outcome.REJECTED:
            detail = next((str(case.get("error_message", "")) for case in self.cases if case["outcome"] == outcome), "")
        rows = [*self.cases, *({"outcome": NOT_RUN} for _ in range(missing))]
        return Report(
            outcome, detail=detail, exit_code=0 if outcome is Outcome.OK else 1, cpu_s=self.cpu_s,
            wall_s=time.monotonic() - self.deadline + self.suite.wall_s, max_rss_mb=self.max_rss_mb, cases=rows,
        )  # fmt: skip


def begin(job: Job, suite: Suite) -> Tally:
    return Tally(job, suite, time.monotonic() + suite.wall_s)


async def run_stdio(slot: Slot, job: Job, suite: Suite, request: Callable[[bytes | None], Request]) -> Report:
    """Each case is a run of its own. `request` makes one from a stdin."""
    tally = begin(job, suite)
    limits = replace(job.limits, output_chars=job.limits.output_bytes)
    while not tally.over:
        case = suite.cases[len(tally.cases)]
        stdin = case.get("input")
        finished = await slot.run(request(None if stdin is None else stdin.encode("utf-8", "surrogatepass")))
        _judge_run(tally, finished, to_report(finished, limits, slot.work, "main.py"), case)
    return tally.report()


def _judge_run(tally: Tally, finished: Finished, report: Report, case: dict[str, Any]) -> None:
    suite, outcome, expected = tally.suite, report.outcome, case.get("expected")
    if outcome is Outcome.OK and expected is not None:
        equal = texts_equal(report.stdout, expected, suite.compare, suite.tolerance)
        outcome = Outcome.OK if equal else Outcome.WRONG_ANSWER
    tally.max_rss_mb = max(tally.max_rss_mb, finished.max_rss_mb)
    tally.add(
        outcome, finished.cpu_s, finished.wall_s, exit_code=finished.exit_code, signal=finished.signal,
        stdout=report.stdout[:_CASE_CHARS], stderr=report.stderr[-_CASE_CHARS:], detail=report.detail,
        error_class=report.error_class, error_message=report.error_message, line=report.error_line,
    )  # fmt: skip


def _life(limits: SlotLimits, suite: Suite) -> SlotLimits:
    """Limits of one agent: no case may use more, so these only bound what all of them do together."""
    return replace(limits, cpu_s=suite.wall_s, wall_s=suite.wall_s)


def _fault(answer: Answer, part: Part) -> Outcome:
    """Why a part of a program did not end as it should."""
    if part.stopped is not None:
        return STOPPED[part.stopped]
    return admitted(answer.error_class) or Outcome.RUNTIME_ERROR


def _refused(job: Job, suite: Suite, answer: Answer, part: Part) -> Report:
    """The program could not even be loaded: no case was run."""
    chars = job.limits.output_chars
    texts = {"stdout": part.stdout.decode("utf-8", "replace"), "stderr": part.stderr.decode("utf-8", "replace")}
    return Report(
        _fault(answer, part), detail=part.stopped.value if part.stopped else "load: the program ended before its tests",
        exit_code=answer.exit_code or 1, cpu_s=part.cpu_s, wall_s=part.wall_s,
        max_rss_mb=part.memory / 2**20, stdout=texts["stdout"][:chars], stdout_bytes=part.stdout_bytes,
        stderr=texts["stderr"][:chars], stderr_bytes=part.stderr_bytes, error_class=answer.error_class,
        error_message=answer.message, error_line=answer.line,
        cases=[{"outcome": NOT_RUN} for _ in suite.cases],
    )  # fmt: skip


async def run_calls(slot: Slot, job: Job, suite: Suite) -> Report:
    """The program is loaded once; each case calls a function in a fork of it."""
    limits = slot_limits(job.limits)
    tally = begin(job, suite)
    agent: AgentRun | None = None
    try:
        while not tally.over:
            if agent is None or not agent.alive:
                agent = await AgentRun.start(slot, _SOLUTION, _life(limits, suite))
                loaded, part = await agent.ask({"op": "load", "code": job.source}, limits, spare=False)
                if loaded.status is not Status.OK:
                    refusal = _refused(job, suite, loaded, part)
                    if not tally.cases:
                        return refusal
                    tally.add_refusal(refusal)
                    await agent.close()
                    continue
            await _call(agent, tally, limits)
    finally:
        if agent is not None:
            await agent.close()
    return tally.report()


async def _call(agent: AgentRun, tally: Tally, limits: SlotLimits) -> None:
    suite, case = tally.suite, tally.suite.cases[len(tally.cases)]
    message = {
        "op": "call", "function": case.get("entry_point") or suite.entry_point,
        "args": _encoded(case.get("args") or []),
        "kwargs": {name: _encoded(value) for name, value in (case.get("kwargs") or {}).items()},
    }  # fmt: skip
    answer, part = await agent.ask(message, limits, spare=True)
    if answer.status is Status.OK and part.stopped is None:
        outcome = _judge_value(answer.value, case.get("expected"), suite.tolerance)
    else:
        outcome = _fault(answer, part)
    tally.add_part(outcome, answer, part)


def _judge_value(value: Any, expected: Any, tolerance: float) -> Outcome:
    try:
        equal = values_equal(plain(value), expected, tolerance)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        equal = False  # the program forged the answer
    return Outcome.OK if equal else Outcome.WRONG_ANSWER


def _encoded(value: Any) -> Any:
    """JSON data as the agents write values."""
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    if isinstance(value, dict):
        return {"$": "dict", "v": [[key, _encoded(item)] for key, item in value.items()]}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 63:
        return {"$": "int", "v": hex(value)}
    return value


@dataclass
class _Pair:
    """The program's process and the tests', joined by a socket that only these two hold."""

    solution: AgentRun
    checker: AgentRun

    @property
    def alive(self) -> bool:
        return self.solution.alive and self.checker.alive

    async def close(self) -> None:
        await self.checker.close()
        await self.solution.close()


@asynccontextmanager
async def _two_slots(slots: SlotPool, job: Job, suite: Suite) -> AsyncIterator[tuple[Slot, Slot]]:
    of_tests = kind_of("\n".join([suite.setup, *(case["code"] for case in suite.cases)]), Kind.STANDARD)
    async with slots.slot(kind_of(job.source, Kind.STANDARD)) as one, slots.slot(of_tests) as other:
        yield one, other


async def run_asserts(slots: SlotPool, job: Job, suite: Suite) -> Report:
    """The tests run in a slot of their own, where the program's objects are only stand-ins."""
    limits = slot_limits(job.limits)
    tally = begin(job, suite)
    pair: _Pair | None = None
    async with _two_slots(slots, job, suite) as (one, other):
        try:
            while not tally.over:
                if pair is None or not pair.alive:
                    if pair is not None:
                        await pair.close()
                    pair, refusal = await _open_pair(one, other, tally, limits)
                    if refusal is not None and not tally.cases:
                        return refusal
                    if refusal is not None:
                        tally.add_refusal(refusal)
                        await pair.close()
                        continue
                await _check(pair, tally, limits)
        finally:
            if pair is not None:
                await pair.close()
    return tally.report()


async def _open_pair(one: Slot, other: Slot, tally: Tally, limits: SlotLimits) -> tuple[_Pair, Report | None]:
    ours, theirs = socket.socketpair()
    life = _life(limits, tally.suite)
    with ours, theirs:
        solution = await AgentRun.start(one, _SOLUTION, life, ours.fileno())
        try:
            checker = await AgentRun.start(other, _CHECKER, life, theirs.fileno())
        except BaseException:
            await solution.close()
            raise
    pair = _Pair(solution, checker)
    try:
        loaded, part = await solution.ask({"op": "load", "code": tally.job.source}, limits, spare=False)
        if loaded.status is Status.OK:
            loaded, part = await solution.tell({"op": "serve"}) or (loaded, part)
        if loaded.status is not Status.OK:
            return pair, _refused(tally.job, tally.suite, loaded, part)
        setup = {"op": "setup", "code": tally.suite.setup, "name": "setup.py", "entry_point": tally.suite.entry_point}
        begun, part = await checker.ask(setup, limits, spare=False)
    except BaseException:
        await pair.close()
        raise
    if begun.status is Status.OK:
        return pair, None
    refusal = _refused(tally.job, tally.suite, begun, part)
    if begun.status is Status.LOST:
        return pair, refusal
    return pair, replace(refusal, detail=f"setup: {refusal.detail}")


async def _check(pair: _Pair, tally: Tally, limits: SlotLimits) -> None:
    number = len(tally.cases)
    message = {"op": "case", "code": tally.suite.cases[number]["code"], "name": f"case_{number}.py"}

    def stop(_: object) -> None:
        pair.solution.kill()

    if not pair.solution.ended:
        pair.solution.slot.begin_part(limits, stop, exact=False)
    answer, part = await pair.checker.ask(message, limits, spare=False)
    own = await pair.solution.end_part()
    part = replace(
        part, stopped=own.stopped or part.stopped, cpu_s=own.cpu_s + part.cpu_s, stdout=own.stdout,
        stderr=own.stderr + part.stderr,
    )  # fmt: skip
    tally.add_part(_verdict_of(answer, part), answer, part)


def _verdict_of(answer: Answer, part: Part) -> Outcome:
    if answer.status is Status.OK and part.stopped is None:
        return Outcome.OK
    if answer.status is Status.UNSUPPORTED:
        return Outcome.REJECTED
    if answer.error_class == "AssertionError" and part.stopped is None:
        return Outcome.WRONG_ANSWER
    return _fault(answer, part)
