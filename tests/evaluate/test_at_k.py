"""pass@k and maj@k against their definitions, by going through every subset."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace.evaluate.at_k import majority_at_k, pass_at_k, powers_of_two

Votes = list[tuple[str, bool]]


def pass_by_subsets(correct: int, n: int, k: int) -> float:
    samples = [i < correct for i in range(n)]
    return fmean(any(subset) for subset in combinations(samples, k))


def majority_by_subsets(votes: Votes, k: int) -> float:
    def value(subset: tuple[tuple[str, bool], ...]) -> float:
        ballots = Counter("the key" if accepted else answer for answer, accepted in subset if accepted or answer)
        if not ballots:
            return 0.0
        most = max(ballots.values())
        winners = [answer for answer, count in ballots.items() if count == most]
        return ("the key" in winners) / len(winners)

    return fmean(value(subset) for subset in combinations(votes, k))


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_mean_over_subsets(case: tuple[int, int, int]) -> None:
    n, correct, k = case
    assert pass_at_k(n, correct, k) == pytest.approx(pass_by_subsets(correct, n, k), abs=1e-12)


def votes_and_k() -> st.SearchStrategy[tuple[Votes, int]]:
    ballot = st.one_of(st.sampled_from(["", "1", "2", "3"]).map(lambda a: (a, False)), st.just(("9", True)))
    return st.lists(ballot, min_size=1, max_size=9).flatmap(
        lambda votes: st.tuples(st.just(votes), st.integers(1, len(votes)))
    )


@settings(max_examples=200)
@given(votes_and_k())
def test_majority_at_k_is_the_mean_over_subsets(case: tuple[Votes, int]) -> None:
    votes, k = case
    assert majority_at_k(votes, k) == pytest.approx(majority_by_subsets(votes, k), abs=1e-12)


def test_accepted_spellings_vote_together() -> None:
    votes = [("1/2", True), ("0.5", True), ("3", False), ("3", False), ("3", False)]
    assert majority_at_k(votes, 5) == 0.0
    assert majority_at_k([*votes, (r"\frac{1}{2}", True)], 6) == 0.5
    assert majority_at_k([*votes, (r"\frac{1}{2}", True), ("", True)], 7) == 1.0


def test_majority_of_one_is_the_share_that_is_correct() -> None:
    assert majority_at_k([("7", True)] * 3 + [("8", False)] * 29, 1) == pytest.approx(3 / 32)


def test_thirty_two_distinct_answers_do_not_overflow() -> None:
    votes = [("7", True)] * 4 + [(str(i), False) for i in range(28)]
    assert majority_at_k(votes, 32) == 1.0
    assert 0.5 < majority_at_k(votes, 16) < 1.0


@pytest.mark.parametrize(("n", "correct", "k"), [(3, 1, 0), (3, 1, 4), (3, 4, 1), (3, -1, 1), (0, 0, 1)])
def test_impossible_counts_are_refused(n: int, correct: int, k: int) -> None:
    with pytest.raises(ValueError, match="need"):
        pass_at_k(n, correct, k)


def test_k_beyond_the_votes_is_refused() -> None:
    with pytest.raises(ValueError, match="k=2, n=1"):
        majority_at_k([("1", True)], 2)


@pytest.mark.parametrize(("n", "ks"), [(0, []), (1, [1]), (4, [1, 2, 4]), (10, [1, 2, 4, 8, 10])])
def test_ks_are_powers_of_two_and_n(n: int, ks: list[int]) -> None:
    assert powers_of_two(n) == ks
