"""Grade what must be right and what must be wrong: the gold answer of each row, and nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cleartrace.data.findings import FileReport, Kind
from cleartrace.data.prepared import REFERENCE
from cleartrace.data.row_checks import answer_key
from cleartrace.rewards.code.truth import holds_tests, read_tests
from cleartrace.rewards.dispatch import GraderKind, grader_of
from cleartrace.rewards.judge import AsyncJudge
from cleartrace.rewards.score import compute_score, compute_score_async

Verdict = Mapping[str, Any]
Grader = Callable[[str, str, Any, Mapping[str, Any]], Awaitable[Verdict]]
"""(data source, response, ground truth, extra info) -> at least `acc`, `ungraded` and `error`."""

NO_ANSWER = ""
EMPTY_PROGRAM = "```python\npass\n```\n"


def asks_for_program(row: Mapping[str, Any]) -> bool:
    """True when the answer is a program that tests decide on."""
    is_code = grader_of(str(row["data_source"])) is GraderKind.CODE
    return is_code and holds_tests(row["reward_model"]["ground_truth"])


def gold_response(row: Mapping[str, Any]) -> str | None:
    """A response that must be right; None for a program without a reference solution in `extra_info`."""
    if grader_of(str(row["data_source"])) is GraderKind.PHRASE:
        return answer_key(row).partition("|")[0]
    if not asks_for_program(row):
        return f"The answer is \\boxed{{{answer_key(row)}}}."
    reference = (row.get("extra_info") or {}).get(REFERENCE)
    return f"```python\n{reference}\n```\n" if reference else None


async def check_grades(number: int, row: Mapping[str, Any], grade: Grader | None, report: FileReport) -> None:
    """Add what grading finds to `report`. Without `grade` nothing is graded; tests of programs are still read."""
    program = asks_for_program(row)
    report.programs += program
    if program and (broken := _unreadable_tests(row)):
        report.add(Kind.TESTS, broken, number, "reward_model.ground_truth")
        return
    gold = gold_response(row)
    report.untried += gold is None
    if grade is None:
        return
    wrong = Kind.REFERENCE_FAILS if program else Kind.GOLD_FAILS
    for response, right, kind in (
        (gold, True, wrong),
        (NO_ANSWER, False, Kind.EMPTY_PASSES),
        (EMPTY_PROGRAM if program else None, False, Kind.EMPTY_PASSES),
    ):
        if response is not None and not await _as_expected(number, row, grade, response, right, kind, report):
            return
    report.graded += gold is not None


async def _as_expected(
    number: int, row: Mapping[str, Any], grade: Grader, response: str, right: bool, kind: Kind, report: FileReport
) -> bool:
    try:
        info = row.get("extra_info") or {}
        verdict = await grade(str(row["data_source"]), response, row["reward_model"]["ground_truth"], info)
    except ValueError as error:
        report.add(Kind.UNGRADED, str(error), number)
        return False
    if verdict["ungraded"]:
        report.add(Kind.UNGRADED, str(verdict["error"]) or "the grader gave no reason", number)
        return False
    if bool(verdict["acc"]) is not right:
        said = f"{response.strip()[:200]!r} is graded {'right' if verdict['acc'] else 'wrong'}"
        report.add(kind, f"{said} ({verdict['error'] or 'no reason given'})", number, "reward_model.ground_truth")
        return False
    return True


def _unreadable_tests(row: Mapping[str, Any]) -> str:
    try:
        read_tests(row["reward_model"]["ground_truth"])
    except ValueError as error:
        return str(error)
    return ""


def reward_grader(judge: AsyncJudge | None) -> Grader:
    """The grader of training. Answers without a program are graded in place: most need no more than a comparison."""

    async def grade(source: str, response: str, truth: Any, info: Mapping[str, Any]) -> Verdict:
        if grader_of(source) is GraderKind.CODE and holds_tests(truth):
            return await compute_score_async(source, response, truth, info, judge=judge)
        return compute_score(source, response, truth, info)

    return grade
