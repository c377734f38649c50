"""The reward of context selection: the exact letter, and nothing for the form of an answer."""

import pytest

from cleartrace.rewards.dispatch import GraderKind, grader_of
from cleartrace.rewards.score import compute_score


@pytest.mark.parametrize(
    ("response", "pred"),
    [
        ("B", "B"), ("(B)", "B"), ("B.", "B"), (r"\boxed{B}", "B"), ("**B**", "B"), ("Context B", "B"),
        ("A is wrong, so it is B.", "B"), ("B, not A", "A"), ("<answer>B</answer>", "B"),
        ("<answer> (b) </answer> as A is wrong", "B"), ("<answer>A</answer><answer>B</answer>", "B"),
        ("<think>\nA, surely A\n</think>\n\nB", "B"), ("AB", ""), ("b", ""), ("Because", ""),
        ("I say B", "B"), ("A\n</think>", ""), ("", ""), ("C", "C"), ("<think>B fits", ""),
        ("<answer>A or B</answer>", ""), ("B_1 2B", ""),
    ],
)  # fmt: skip
def test_the_letter_a_response_ends_on(response, pred):
    score = compute_score("context_selection", response, "B")
    assert (score["pred"], score["acc"], score["score"]) == (pred, pred == "B", float(pred == "B"))
    assert score["error"] == ("" if pred else "no_answer") and not score["ungraded"]


def test_the_score_is_one_or_nothing_under_every_scale():
    for scale in ("symmetric", "binary"):
        for math_mode in ("verify", "strict"):
            options = {"score_scale": scale, "math_mode": math_mode}
            scores = [compute_score("context_selection", text, "A", **options)["score"] for text in ("A", "B", "")]
            assert scores == [1.0, 0.0, 0.0]


def test_the_source_is_found_by_name():
    assert grader_of("context_selection") is GraderKind.SELECTION
    assert grader_of("context_selection/code") is GraderKind.SELECTION


@pytest.mark.parametrize("gold", ["", "AB", "I", "b", "1"])
def test_a_key_that_is_no_letter_is_an_error_of_the_row(gold):
    with pytest.raises(ValueError, match="fix reward_model.ground_truth of this row"):
        compute_score("context_selection", "A", gold)
