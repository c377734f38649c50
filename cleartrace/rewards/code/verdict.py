"""From the judge's verdict on a suite to a grade. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from cleartrace.rewards.code.truth import CodeTests
from cleartrace.rewards.grade import Grade
from cleartrace.rewards.options import CodeCredit, CodeScale, RewardOptions

_SYNTAX = frozenset({"SyntaxError", "IndentationError", "TabError"})
_NO_VERDICT = frozenset({"infra_error", "rejected"})
_OK = "ok"


class SuiteResult(Protocol):
    """What is read from a judge's answer; `code_judge.client.RunResult` has these fields."""

    @property
    def outcome(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def error_class(self) -> str | None: ...
    @property
    def error_message(self) -> str | None: ...
    @property
    def cases(self) -> list[dict[str, Any]] | None: ...


def code_score(passed: int, total: int, scale: CodeScale, credit: CodeCredit) -> float:
    """Score of a program that was run and passed `passed` of `total` tests; `total` is at least 1."""
    share = passed / total
    if credit is CodeCredit.ALL:
        share = float(passed == total)
    elif credit is CodeCredit.FOURTH_POWER:
        share **= 4
    return 2 * share - 1 if scale is CodeScale.SYMMETRIC else share


def without_program(pred: str, error: str, options: RewardOptions) -> Grade:
    """The grade of an answer in which nothing can be run."""
    return Grade(False, pred, error, value=0.0 if options.code_scale is CodeScale.UNIT else -1.0)


def grade_suite(result: SuiteResult, answer: str, tests: CodeTests, options: RewardOptions) -> Grade:
    """The grade of `answer` by the judge's `result`.

    What the judge could not carry out, and tests that fail before the program is touched, say nothing about the
    program: ungraded.
    """
    outcome = _name(result.outcome)
    cases = result.cases or []
    outcomes = [_name(case["outcome"]) for case in cases]
    broken = next((name for name in (outcome, *outcomes) if name in _NO_VERDICT), None)
    if broken or result.detail.startswith("setup:"):
        return Grade(False, answer, _no_verdict(broken or "setup", result, cases), ungraded=True)
    verdicts = _per_test(outcomes, tests)
    listed = " ".join(verdicts)
    if _is_not_python(result, cases):
        return Grade(**{**vars(without_program(answer, "syntax_error", options)), "tests": listed})
    passed = verdicts.count(_OK)
    value = code_score(passed, tests.total, options.code_scale, options.code_credit)
    error = "" if passed == tests.total else _failure(outcome, verdicts, result, cases)
    return Grade(passed == tests.total, answer, error, value, listed)


def _name(outcome: Any) -> str:
    return str(getattr(outcome, "value", outcome))


def _per_test(outcomes: Sequence[str], tests: CodeTests) -> list[str]:
    """One outcome per test: `ok` when any of its cases is, else that of the last; `not_run` where none is told."""
    verdicts = ["not_run"] * tests.total
    for number, outcome in zip(tests.tests, outcomes, strict=False):
        if verdicts[number] != _OK:
            verdicts[number] = outcome
    return verdicts


def _is_not_python(result: SuiteResult, cases: Sequence[dict[str, Any]]) -> bool:
    """The program's own word, which is good enough: an exception of this name costs points, and earns none."""
    words = [result.error_class, *(case.get("error_class") for case in cases)]
    return any(word in _SYNTAX for word in words) and all(case["outcome"] != _OK for case in cases)


def _failure(outcome: str, verdicts: Sequence[str], result: SuiteResult, cases: Sequence[dict[str, Any]]) -> str:
    first = next((case for case in cases if case["outcome"] not in (_OK, "not_run")), {})
    reason = first.get("error_class") or result.error_class or ""
    name = next((verdict for verdict in verdicts if verdict not in (_OK, "not_run")), outcome)
    return f"{name} {reason}".strip() + f": {verdicts.count(_OK)} of {len(verdicts)} tests passed"


def _no_verdict(name: str, result: SuiteResult, cases: Sequence[dict[str, Any]]) -> str:
    raised = f"{result.error_class}: {result.error_message}" if result.error_class else ""
    told = [raised, result.detail, *(str(case.get("error_message") or case.get("detail") or "") for case in cases)]
    detail = next((text for text in told if text), "no detail given")
    return f"the judge gave no verdict ({name}): {detail[:500]}"
