"""The statistics line of a sample."""

from __future__ import annotations

from make_outcome import outcome

from cleartrace.evaluate.outcome import Status
from cleartrace.evaluate.passrate import by_sample, statistics_line
from cleartrace.evaluate.questions import Question

QUESTION = Question(7, "a", "q", "train-math", "7", {})


def test_the_line_of_a_sample() -> None:
    rows = [outcome("a", i, acc=i < 3, failed_calls=i % 2) for i in range(8)]
    assert statistics_line(QUESTION, rows) == {
        "sample_id": "a",
        "row": 7,
        "uid": "7",
        "data_source": "train-math",
        "successes": 3,
        "attempts": 8,
        "success_rate": 0.375,
        "avg_score": -0.25,
        "keep": True,
        "mean_tool_failures": 0.5,
        "infra_errors": 0,
    }


def test_only_samples_that_every_attempt_solved_are_not_kept() -> None:
    def line(solved: int):
        return statistics_line(QUESTION, [outcome("a", i, acc=i < solved) for i in range(4)])

    kept = [(found or {})["keep"] for found in (line(0), line(3), line(4))]
    assert kept == [True, True, False]


def test_spoiled_rollouts_are_no_attempts() -> None:
    """An outage must not make a sample look harder than it is."""
    rows = [outcome("a", 0, acc=True), outcome("a", 1, status=Status.INFRA), outcome("a", 2, status=Status.LOST)]
    line = statistics_line(QUESTION, rows) or {}
    assert (line["attempts"], line["success_rate"], line["infra_errors"], line["keep"]) == (1, 1.0, 2, False)
    assert statistics_line(QUESTION, rows[1:]) is None


def test_outcomes_are_grouped_by_sample() -> None:
    groups = by_sample([outcome("a", 0), outcome("b", 0), outcome("a", 1)])
    assert {sample: len(rows) for sample, rows in groups.items()} == {"a": 2, "b": 1}
