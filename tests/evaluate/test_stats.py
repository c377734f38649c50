"""Intervals against textbook values and their own definitions."""

from __future__ import annotations

import math
from statistics import stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleartrace.evaluate.stats import cluster_interval, mean_interval, student_quantile, wilson_interval


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (8, 10, 0.4902, 0.9433),
        (100, 200, 0.4314, 0.5686),
        (0, 0, 0.0, 1.0),
    ],
)
def test_known_wilson_intervals(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_bounds_solve_the_score_equation(case: tuple[int, int]) -> None:
    """Each bound p solves |k/n - p| = z sqrt(p (1 - p) / n); the interval holds the rate and mirrors failures."""
    successes, n = case
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    for p in (low, high):
        assert abs(successes / n - p) == pytest.approx(1.96 * math.sqrt(p * (1 - p) / n), abs=1e-7)
    assert wilson_interval(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@pytest.mark.parametrize(("successes", "n", "z"), [(-1, 5, 1.96), (6, 5, 1.96), (0, -1, 1.96), (1, 2, 0.0)])
def test_impossible_counts_are_refused(successes: int, n: int, z: float) -> None:
    with pytest.raises(ValueError, match="successes|positive"):
        wilson_interval(successes, n, z)


def test_mean_interval_uses_students_quantile() -> None:
    assert mean_interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)))


@pytest.mark.parametrize(("degrees", "quantile"), [(1, 12.706), (5, 2.571), (30, 2.042), (31, 2.0395), (120, 1.9799)])
def test_known_quantiles_of_students_t(degrees: int, quantile: float) -> None:
    assert student_quantile(degrees) == pytest.approx(quantile, abs=1e-4)


def test_students_t_falls_with_its_degrees_and_needs_one() -> None:
    quantiles = [student_quantile(degrees) for degrees in range(1, 200)]
    assert quantiles == sorted(quantiles, reverse=True) and quantiles[-1] > 1.959964
    with pytest.raises(ValueError, match="not 0"):
        student_quantile(0)


def test_one_value_has_no_finite_interval_and_none_no_mean() -> None:
    assert mean_interval([0.4]) == (0.4, -math.inf, math.inf)
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])


def test_the_cluster_bootstrap_agrees_with_the_normal_interval_on_many_questions() -> None:
    values = [i / 99 for i in range(100)] * 4
    low, high = cluster_interval(values)
    half = 1.96 * stdev(values) / math.sqrt(len(values))
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.004)


def test_rollouts_of_one_question_do_not_narrow_the_interval() -> None:
    """Ten questions with 32 equal rollouts each know as much as ten questions with one."""
    questions = [1.0] * 5 + [0.0] * 5
    low, high = cluster_interval(questions)
    alone = wilson_interval(160, 320)
    assert high - low > 4 * (alone[1] - alone[0])


def test_questions_that_agree_get_a_wilson_interval() -> None:
    assert cluster_interval([0.0] * 10) == wilson_interval(0, 10)
    assert cluster_interval([0.25] * 8) == wilson_interval(2.0, 8)
    assert cluster_interval([0.0] * 8, share=False) == (-math.inf, math.inf)
    with pytest.raises(ValueError, match="shares lie in"):
        cluster_interval([-0.5, 0.5])
    with pytest.raises(ValueError, match="no values"):
        cluster_interval([])
