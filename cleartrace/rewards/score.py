"""The single reward entry point. Every source gets the same key set, because veRL indexes all rows of a
batch with the keys of the first one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from cleartrace.rewards.math import MathMode, ScoreScale, grade_answer
from cleartrace.rewards.verify import VerifierUnavailable


class Score(TypedDict):
    """`acc` is the grader's verdict, never derived from the sign of `score` (D29).

    `ungraded` rows could not be judged for reasons that are not the model's: score 0, to be masked.
    """

    score: float
    acc: bool
    pred: str
    error: str
    ungraded: bool
    question_id: str
    sample_id: str


class UnsupportedSourceError(ValueError):
    """No grader exists for a data source."""


def is_code_source(data_source: str) -> bool:
    """True for sources whose answers are programs: the published rule, "code" anywhere in the name."""
    return "code" in data_source.lower()


def _identifier(extra_info: Mapping[str, Any], *keys: str) -> str:
    return next((str(extra_info[key]) for key in keys if extra_info.get(key) is not None), "")


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    *,
    math_mode: str = MathMode.VERIFY.value,
    score_scale: str = ScoreScale.SYMMETRIC.value,
    reward_router_address: Any = None,
    reward_model_tokenizer: Any = None,
) -> Score:
    """Grade one response.

    `solution_str`: the decoded response, all turns. `extra_info`: `question_id` (or `index`) and `sample_id`
    are passed through as strings, "" when absent. `math_mode`: strict | normalized | verify.
    `score_scale`: symmetric (1/-1) | binary (1/0). The two `reward_*` handles are what veRL passes to every
    reward function when a reward model is deployed; they are not used.

    Errors: `UnsupportedSourceError` for a code source; `ValueError` for a missing key or an unknown option.
    """
    mode, scale = MathMode(math_mode), ScoreScale(score_scale)
    info = extra_info or {}
    question_id, sample_id = _identifier(info, "question_id", "index"), _identifier(info, "sample_id")
    where = f"data source {data_source!r}, question {question_id or '?'}, sample {sample_id or '?'}"
    if is_code_source(data_source):
        raise UnsupportedSourceError(
            f"{where}: programs cannot be graded yet; leave sources with 'code' in their name out of the dataset"
        )
    gold = "" if ground_truth is None else str(ground_truth).strip()
    if not gold:
        raise ValueError(f"{where}: the answer key is empty; fix reward_model.ground_truth of this row")

    score: Score = {
        "score": 0.0,
        "acc": False,
        "pred": "",
        "error": "",
        "ungraded": True,
        "question_id": question_id,
        "sample_id": sample_id,
    }
    try:
        grade = grade_answer(solution_str, gold, mode)
    except VerifierUnavailable as error:
        score["error"] = f"{where}: {error}"
        return score
    score.update(
        score=scale.score(grade.correct), acc=grade.correct, pred=grade.pred, error=grade.error, ungraded=False
    )
    return score
