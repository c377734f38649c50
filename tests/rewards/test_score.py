"""The one entry point: the same keys for every source, blame, options."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cleartrace.rewards.options import RewardOptions
from cleartrace.rewards.score import JudgeMissing, Score, compute_score, compute_score_async
from cleartrace.rewards.verify import Verifier

KEYS = set(Score.__annotations__)
IDS = {"question_id": 7, "sample_id": "7-0"}
ADD = {"inputs": ["1 2"], "outputs": ["3"]}


@pytest.mark.parametrize("source", ["math_dapo", "train-math-x", "mega-science", "aime2024"])
@pytest.mark.parametrize("response", [r"\boxed{4}", r"\boxed{5}", "nothing", ""])
def test_every_source_and_outcome_has_the_same_keys(source, response):
    assert set(compute_score(source, response, "4", IDS)) == KEYS


def test_choices_and_programs_have_the_same_keys_too(judge):
    assert set(compute_score("gpqa_diamond", r"\boxed{A}", "A", IDS)) == KEYS
    for answer in ("", "```python\nprint(sum(map(int, input().split())))\n```", "```python\nprint(0)\n```"):
        assert set(compute_score("train-code-x", answer, ADD, IDS, judge=judge)) == KEYS


def test_values():
    assert compute_score("math_dapo", r"\boxed{4.0}", "4", IDS) == {
        "score": 1.0,
        "acc": True,
        "pred": "4.0",
        "error": "",
        "ungraded": False,
        "question_id": "7",
        "sample_id": "7-0",
        "tests": "",
        "shaping": 0.0,
    }
    wrong = compute_score("math_dapo", "no box", "4")
    assert (wrong["score"], wrong["acc"], wrong["pred"], wrong["error"]) == (-1.0, False, "", "no_answer")
    assert compute_score("math_dapo", "no box", "4", score_scale="binary")["score"] == 0.0
    assert compute_score("math_dapo", r"\boxed{4.0}", "4", math_mode="strict")["acc"] is False
    assert compute_score("math_dapo", r"\boxed{4}", "4", {"index": 3})["question_id"] == "3"


def test_the_asynchronous_entry_says_the_same():
    assert asyncio.run(compute_score_async("math_dapo", r"\boxed{4.0}", "4", IDS)) == compute_score(
        "math_dapo", r"\boxed{4.0}", "4", IDS
    )


@pytest.mark.parametrize("gold", ["", "  ", None])
def test_an_empty_key_is_an_error_of_the_dataset(gold):
    with pytest.raises(ValueError, match="question 7.*ground_truth"):
        compute_score("math_dapo", r"\boxed{}", gold, IDS)


def test_a_program_without_a_judge_is_refused_by_name():
    with pytest.raises(JudgeMissing, match="train-code-x.*question 7.*no judge"):
        compute_score("train-code-x", "```python\npass\n```", ADD, IDS)


def test_a_code_source_with_a_plain_key_is_asked_for_that_answer():
    assert compute_score("train-code-x", r"\boxed{72.0}", "72")["acc"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"math_mode": "lenient"}, "lenient"),
        ({"mathmode": "strict"}, "unknown reward option 'mathmode'; did you mean 'math_mode'"),
        ({"code_stopearly": True}, "did you mean 'code_stop_early'"),
        ({"code_deadline_s": 10}, "code_deadline_s=10 must be longer than code_suite_s=600"),
        ({"code_suite_s": -1}, "greater than 0"),
        ({"graders": {"mine": "poetry"}}, "poetry"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        compute_score("math_dapo", "", "4", **options)


def test_shaping_is_off_by_default():
    options = RewardOptions()
    assert (options.failed_call_penalty, options.success_bonus, options.turn_bonus, options.score_floor) == (
        0,
        0,
        0,
        None,
    )


def test_a_broken_verifier_leaves_the_row_ungraded():
    score = compute_score("math_dapo", r"\boxed{1+x}", "x+1", IDS, verifier=Verifier(wall_s=0.0), score_floor=0.5)
    assert (score["ungraded"], score["acc"], score["score"], score["shaping"]) == (True, False, 0.0, 0.0)
    assert "question 7" in score["error"]
    assert set(score) == KEYS
