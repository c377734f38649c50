"""Pairs of failed and repaired calls, taken from rollouts of the scripted engine (cleaner.md section 7.1)."""

from __future__ import annotations

import pytest

from cleartrace.losses.options import FailedAttempt, NegativesConfig, Span
from cleartrace.purify import SaarConfig
from cleartrace.purify.negatives import Pair, collect, offered
from tests.purify.conftest import PROMPT, drive

OPTIONS = {"enable": True, "similarity_threshold": 0.9}
FIRST = ([11, 12], [21, 22], "# name\nx = 1")
SECOND = ([13, 14], [23, 24], "# name\nimport os")
FIXED = ([15, 16], [25, 26], "# ok\nprint('all else')")
ANSWER = ([7], [], "")


def pairs_of(*script, saar=None, response_length=4000, **negatives) -> tuple[list[Pair], tuple[int, ...]]:
    run = drive([*script, ANSWER], SaarConfig(**{**OPTIONS, **(saar or {})}))
    config = NegativesConfig(mode="dpo", **negatives)
    found = collect(run.state.repairs, run.segments, config, response_length=response_length)
    return found, run.flat.response_ids


def compared(row) -> tuple[int, ...]:
    return row.flat.response_ids[slice(*row.span)]


def test_a_pair_is_two_calls_behind_the_same_prompt():
    (pair,), kept = pairs_of(FIRST, FIXED)
    assert pair.failed.flat.prompt_ids == pair.good.flat.prompt_ids == tuple(PROMPT)
    assert (compared(pair.failed), compared(pair.good)) == ((21, 22), (25, 26))
    assert (pair.position, pair.attempt, pair.error_class) == (0, 0, "NameError")
    assert kept[slice(*pair.good.span)] == (25, 26), "the same place in the rollout itself"


def test_a_first_failure_stands_in_the_very_context_it_was_sampled_in():
    (pair,), _ = pairs_of(FIRST, FIXED)
    assert sum(pair.failed.flat.spliced_mask) == 0
    assert sum(pair.good.flat.spliced_mask) > 0, "the good turn was sampled after the error"


def test_the_last_failure_before_success_is_kept_and_the_first_on_request():
    last, _ = pairs_of(FIRST, SECOND, FIXED)
    first, _ = pairs_of(FIRST, SECOND, FIXED, attempt=FailedAttempt.FIRST)
    assert [(compared(p.failed), p.attempt) for p in (*last, *first)] == [((23, 24), 1), ((21, 22), 0)]
    assert sum(last[0].failed.flat.spliced_mask) > 0 == sum(first[0].failed.flat.spliced_mask)


def test_a_later_position_has_everything_before_it_as_context():
    (_, pair), kept = pairs_of(FIRST, FIXED, ([31], [32], "# type\nx"), ([33], [34], "# ok\nother = 1"))
    assert (pair.position, compared(pair.failed), compared(pair.good)) == (1, (32,), (34,))
    assert pair.good.flat.response_ids == kept[: pair.good.span[1]]
    assert pair.failed.flat.response_ids == (*kept[: pair.good.span[0] - 1], 31, 32)
    assert kept[:4] == (15, 16, 25, 26), "the repaired call, not the failure, stands before"


def test_a_grafted_call_shares_the_reasoning_of_the_failed_one():
    (pair,), _ = pairs_of(FIRST, FIXED, saar={"similarity_threshold": 0.0}, span=Span.TURN)
    assert (compared(pair.failed), compared(pair.good)) == ((21, 22), (25, 26))
    assert pair.failed.flat.response_ids[:2] == pair.good.flat.response_ids[:2] == (11, 12)


def test_whole_turns_are_compared_where_the_reasoning_differs_too():
    (pair,), _ = pairs_of(FIRST, FIXED, span=Span.TURN)
    assert (compared(pair.failed), compared(pair.good)) == ((11, 12, 21, 22), (15, 16, 25, 26))


def test_without_a_marker_the_whole_turn_is_the_call():
    (pair,), _ = pairs_of(([], [21, 22], "# name\nx"), FIXED)
    assert compared(pair.failed) == (21, 22) and pair.failed.span == (0, 2)


@pytest.mark.parametrize(
    "script",
    [
        [FIRST, SECOND],
        [FIRST, ANSWER],
        [([1], [2], "# infra\nx"), ANSWER],
        [FIXED],
    ],
    ids=["exhausted", "no_call", "infra", "no_failure"],
)
def test_no_pair_without_a_call_that_works_in_the_end(script):
    assert pairs_of(*script, saar={"max_retries": 1})[0] == []


def test_an_infrastructure_failure_after_a_regeneration_leaves_no_pair():
    """(D7)"""
    assert pairs_of(FIRST, ([1], [2], "# infra\nx"))[0] == []


def test_a_failure_that_repeats_the_tokens_of_its_repair_says_nothing():
    flaky = (FIRST[0], FIRST[1], "# ok\nx = 1")
    assert pairs_of(FIRST, flaky)[0] == []


def test_a_call_that_the_response_length_cuts_is_no_pair():
    assert len(pairs_of(FIRST, FIXED, response_length=4)[0]) == 1
    assert pairs_of(FIRST, FIXED, response_length=3)[0] == []


def test_what_a_rollout_offers_is_drawn_and_the_same_on_every_run():
    found, _ = pairs_of(*[FIRST, FIXED] * 4)
    who = {"seed": 0, "sample_id": "s", "step": 3, "rollout": 1}
    two = offered(found, 2, **who)
    assert two == offered(found, 4, **who)[:2] and [d for d, _ in two] == sorted(d for d, _ in two)
    draws = {draw for seed in range(4) for draw, _ in offered(found, 4, **{**who, "seed": seed})}
    assert len(found) == 4 and len(draws) == 16 and all(0 <= draw < 1 for draw in draws)
