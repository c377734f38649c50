"""The single reward entry point. Every source gets the same key set, because veRL indexes all rows of a
batch with the keys of the first one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from cleartrace.rewards.choice import grade_choice, read_choice
from cleartrace.rewards.code.request import SuiteRequest, suite_request
from cleartrace.rewards.code.truth import holds_tests, read_tests
from cleartrace.rewards.code.verdict import grade_suite
from cleartrace.rewards.dispatch import GraderKind, grader_of, is_code_source, settle
from cleartrace.rewards.grade import Grade
from cleartrace.rewards.judge import AsyncJudge, Judge, run_arguments
from cleartrace.rewards.math import MathMode, grade_answer, grade_science
from cleartrace.rewards.options import RewardOptions
from cleartrace.rewards.phrase import grade_phrase, normalized
from cleartrace.rewards.selection import LETTERS, grade_selection
from cleartrace.rewards.shaping import ToolUse, shaping, uses_tools
from cleartrace.rewards.verify import Verifier, VerifierUnavailable
from cleartrace.tools.code_interpreter import judge_failures

__all__ = ["JudgeMissing", "Score", "compute_score", "compute_score_async", "is_code_source"]


class Score(TypedDict):
    """`acc` is the grader's verdict, never derived from the sign of `score` (D29).

    `ungraded` rows could not be judged for reasons that are not the model's: score 0, to be masked. `tests` is the
    outcome of each test of a program, separated by blanks, "" for other answers. `shaping` is the part of `score`
    that the shaping options added.
    """

    score: float
    acc: bool
    pred: str
    error: str
    ungraded: bool
    question_id: str
    sample_id: str
    tests: str
    shaping: float


class JudgeMissing(ValueError):
    """A program is to be graded, and there is no judge to run it."""


@dataclass(frozen=True)
class _Task:
    """One answer to grade, with everything read and checked that is not the model's."""

    kind: GraderKind
    text: str
    gold: str
    options: RewardOptions
    where: str
    ids: tuple[str, str]
    use: ToolUse | None
    request: SuiteRequest | Grade | None = None
    """Of a program: what to ask the judge, or the grade without asking."""

    def read(self, verifier: Verifier | None) -> Grade:
        """Grade an answer in a box."""
        strict = self.options.math_mode is MathMode.STRICT
        try:
            if self.kind is GraderKind.SELECTION:
                return grade_selection(self.text, self.gold)
            if self.kind is GraderKind.PHRASE:
                return grade_phrase(self.text, self.gold)
            if self.kind is GraderKind.CHOICE and not strict:
                return grade_choice(self.text, self.gold)
            grade = grade_science if self.kind is GraderKind.SCIENCE else grade_answer
            return grade(self.text, self.gold, self.options.math_mode, verifier)
        except VerifierUnavailable as error:
            return self.unavailable(error)

    def unavailable(self, error: Exception) -> Grade:
        return Grade(False, "", f"{type(error).__name__}: {error}", ungraded=True)

    def score(self, grade: Grade) -> Score:
        value = self.options.score_scale.score(grade.correct) if grade.value is None else grade.value
        added = 0.0 if grade.ungraded else shaping(value, grade.correct, self.use, self.options)
        return {
            "score": 0.0 if grade.ungraded else value + added,
            "acc": grade.correct and not grade.ungraded,
            "pred": grade.pred,
            "error": f"{self.where}: {grade.error}" if grade.ungraded else grade.error,
            "ungraded": grade.ungraded,
            "question_id": self.ids[0],
            "sample_id": self.ids[1],
            "tests": grade.tests,
            "shaping": added,
        }


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    judge: Judge | None = None,
    verifier: Verifier | None = None,
    reward_router_address: Any = None,
    reward_model_tokenizer: Any = None,
    **options: Any,
) -> Score:
    """Grade one answer.

    Args:
        data_source: says which grader answers, unless the option `graders` does.
        solution_str: the text in which the answer stands: the model's last turn.
        ground_truth: the answer key. For programs their tests, as a struct or its JSON text.
        extra_info: `question_id` (or `index`) and `sample_id` are passed through as strings, "" when absent.
            `trajectory` and `num_turns` are read by tool-use shaping only.
        judge: runs programs; needed for code sources only.
        options: fields of `RewardOptions`.
        reward_router_address, reward_model_tokenizer: what veRL passes to every reward function when a reward model
            is deployed; not used.

    Errors: `JudgeMissing`; `ValueError` for a key that cannot be used or an unknown option.
    """
    del reward_router_address, reward_model_tokenizer
    task = _task(data_source, solution_str, ground_truth, extra_info or {}, options)
    if not isinstance(task.request, SuiteRequest):
        return task.score(task.request or task.read(verifier))
    if judge is None:
        raise _no_judge(task)
    try:
        result = judge.run(**run_arguments(task.request, task.options))
    except judge_failures() as error:
        return task.score(task.unavailable(error))
    return task.score(grade_suite(result, task.request.answer, task.request.tests, task.options))


async def compute_score_async(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    judge: AsyncJudge | None = None,
    verifier: Verifier | None = None,
    reward_router_address: Any = None,
    reward_model_tokenizer: Any = None,
    **options: Any,
) -> Score:
    """As `compute_score`, without blocking the event loop."""
    del reward_router_address, reward_model_tokenizer
    task = await asyncio.to_thread(_task, data_source, solution_str, ground_truth, extra_info or {}, options)
    if not isinstance(task.request, SuiteRequest):
        return task.score(task.request or await asyncio.to_thread(task.read, verifier))
    if judge is None:
        raise _no_judge(task)
    try:
        result = await judge.run(**run_arguments(task.request, task.options))
    except judge_failures() as error:
        return task.score(task.unavailable(error))
    return task.score(grade_suite(result, task.request.answer, task.request.tests, task.options))


def _task(data_source: str, text: str, ground_truth: Any, info: Mapping[str, Any], given: Mapping[str, Any]) -> _Task:
    options = RewardOptions.model_validate(dict(given))
    ids = _identifier(info, "question_id", "index"), _identifier(info, "sample_id")
    where = f"data source {data_source!r}, question {ids[0] or '?'}, sample {ids[1] or '?'}"
    use = ToolUse.of(info) if uses_tools(options) else None
    kind = grader_of(data_source, options.graders)
    try:
        if kind is GraderKind.CODE and holds_tests(ground_truth):
            request = suite_request(text, read_tests(ground_truth), options)
            return _Task(kind, text, "", options, where, ids, use, request)
        kind, gold = _key(kind, ground_truth)
    except ValueError as error:
        raise ValueError(f"{where}: {error}; fix reward_model.ground_truth of this row") from error
    return _Task(kind, text, gold, options, where, ids, use)


def _key(kind: GraderKind, ground_truth: Any) -> tuple[GraderKind, str]:
    """The key of an answer in a box, and what grades it."""
    gold = "" if ground_truth is None else str(ground_truth).strip()
    if not gold:
        raise ValueError("the answer key is empty")
    # A code source whose key is a plain answer is asked for that answer, as published.
    kind = GraderKind.MATH if kind is GraderKind.CODE else settle(kind, gold)
    if kind is GraderKind.CHOICE and read_choice(gold) is None:
        raise ValueError(f"the answer key {gold[:40]!r} is not an option letter A to J")
    if kind is GraderKind.SELECTION and (len(gold) != 1 or gold not in LETTERS):
        raise ValueError(f"the answer key {gold[:40]!r} is not one letter A to H")
    if kind is GraderKind.PHRASE and not all(normalized(key) for key in gold.split("|")):
        raise ValueError(f"the answer key {gold[:40]!r} has no word")
    return kind, gold


def _no_judge(task: _Task) -> JudgeMissing:
    return JudgeMissing(
        f"{task.where}: programs are graded by running them, and there is no judge; start `code-judge serve` and say "
        "where it is (docs/rewards.md)"
    )


def _identifier(info: Mapping[str, Any], *keys: str) -> str:
    return next((str(info[key]) for key in keys if info.get(key) is not None), "")
