import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleartrace.rewards import score as score_module
from cleartrace.rewards.score import Score, UnsupportedSourceError, compute_score
from cleartrace.rewards.shaping import overlong_penalty
from cleartrace.rewards.verify import Verifier

KEYS = set(Score.__annotations__)
IDS = {"question_id": 7, "sample_id": "7-0"}


@pytest.mark.parametrize("source", ["math_dapo", "train-math-x", "mega-science", "aime2024", "gpqa_diamond"])
@pytest.mark.parametrize("response", [r"\boxed{4}", r"\boxed{5}", "nothing", ""])
def test_every_source_and_outcome_has_the_same_keys(source, response):
    assert set(compute_score(source, response, "4", IDS)) == KEYS


def test_values():
    assert compute_score("math_dapo", r"\boxed{4.0}", "4", IDS) == {
        "score": 1.0,
        "acc": True,
        "pred": "4.0",
        "error": "",
        "ungraded": False,
        "question_id": "7",
        "sample_id": "7-0",
    }
    wrong = compute_score("math_dapo", "no box", "4")
    assert (wrong["score"], wrong["acc"], wrong["pred"], wrong["error"]) == (-1.0, False, "", "no_answer")
    assert compute_score("math_dapo", "no box", "4", score_scale="binary")["score"] == 0.0
    assert compute_score("math_dapo", r"\boxed{4.0}", "4", math_mode="strict")["acc"] is False
    assert compute_score("math_dapo", r"\boxed{4}", "4", {"index": 3})["question_id"] == "3"


@pytest.mark.parametrize("source", ["train-code-taco", "LiveCodeBench_v6", "test-Code-x"])
def test_a_code_source_is_refused_by_name(source):
    with pytest.raises(UnsupportedSourceError, match=source):
        compute_score(source, "```python\npass\n```", "{}")


@pytest.mark.parametrize("gold", ["", "  ", None])
def test_an_empty_key_is_an_error_of_the_dataset(gold):
    with pytest.raises(ValueError, match="question 7.*ground_truth"):
        compute_score("math_dapo", r"\boxed{}", gold, IDS)


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="lenient"):
        compute_score("math_dapo", "", "4", math_mode="lenient")
    with pytest.raises(TypeError, match="mathmode"):
        compute_score("math_dapo", "", "4", mathmode="strict")


def test_a_broken_verifier_leaves_the_row_ungraded(monkeypatch):
    broken = Verifier(wall_s=0.0)
    grade = score_module.grade_answer
    monkeypatch.setattr(score_module, "grade_answer", lambda response, gold, mode: grade(response, gold, mode, broken))
    score = compute_score("math_dapo", r"\boxed{1+x}", "x+1", IDS)
    assert (score["ungraded"], score["acc"], score["score"]) == (True, False, 0.0)
    assert "question 7" in score["error"]
    assert set(score) == KEYS


@given(st.integers(0, 40000))
def test_overlong_penalty_is_the_published_formula(length):
    assert overlong_penalty(length) == pytest.approx(min(-(length - 16384) / 4096, 0.0))


def test_overlong_penalty_refuses_an_impossible_buffer():
    with pytest.raises(ValueError, match="buffer_tokens"):
        overlong_penalty(10, max_response_tokens=10, buffer_tokens=11)
