"""Shaping by length and by tool use: each formula by itself, all together, and none by default."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleartrace.rewards.options import RewardOptions
from cleartrace.rewards.score import compute_score
from cleartrace.rewards.shaping import (
    ToolUse,
    failed_call_penalty,
    overlong_penalty,
    shaping,
    success_bonus,
    turn_bonus,
)


def record(*statuses: str, kept: bool = True) -> str:
    return json.dumps({"tool_calls": [{"status": status, "kept": kept} for status in statuses]})


@given(st.integers(0, 40000))
def test_overlong_penalty_is_the_published_formula(length):
    assert overlong_penalty(length) == pytest.approx(min(-(length - 16384) / 4096, 0.0))


def test_overlong_penalty_refuses_an_impossible_buffer():
    with pytest.raises(ValueError, match="buffer_tokens"):
        overlong_penalty(10, max_response_tokens=10, buffer_tokens=11)


def test_tool_use_counts_the_calls_that_stand_and_blames_the_model_alone():
    text = record("ok", "ok", "program_error", "timeout", "format_error", "infra_error", "not_executed")
    assert ToolUse.of({"trajectory": text, "num_turns": 4}) == ToolUse(2, 3, 4)
    assert ToolUse.of({"trajectory": record("program_error", kept=False), "num_turns": 4}) == ToolUse(0, 0, 4)
    with pytest.raises(ValueError, match="only the saar agent loops keep"):
        ToolUse.of({"num_turns": 4})


def test_each_formula():
    assert [failed_call_penalty(ToolUse(1, failed, 4), 0.1) for failed in (0, 1, 5)] == [0.0, -0.1, -0.1]
    assert success_bonus(ToolUse(1, 0, 4), True, 0.15) == 0.15
    assert success_bonus(ToolUse(0, 1, 4), True, 0.15) == success_bonus(ToolUse(1, 0, 4), False, 0.15) == 0.0


@pytest.mark.parametrize(("turns", "result"), [(2, -1.0), (4, -0.9), (6, -0.8), (10, -0.6), (40, -0.6)])
def test_the_turn_bonus_is_that_of_demyagent(turns, result):
    added = turn_bonus(-1.0, ToolUse(0, 0, turns), correct=False, bonus=0.1, cap=-0.6)
    assert -1.0 + added == pytest.approx(result)
    assert turn_bonus(1.0, ToolUse(0, 0, turns), correct=True, bonus=0.1, cap=-0.6) == 0.0
    assert turn_bonus(0.3, ToolUse(0, 0, turns), correct=False, bonus=0.1, cap=-0.6) == 0.0


@given(st.floats(-1, 1), st.booleans(), st.integers(0, 9), st.integers(0, 9), st.integers(1, 40))
def test_the_defaults_change_nothing(score, correct, succeeded, failed, turns):
    assert shaping(score, correct, ToolUse(succeeded, failed, turns), RewardOptions()) == 0.0


def test_all_together_in_the_documented_order():
    options = RewardOptions(failed_call_penalty=0.1, success_bonus=0.15, turn_bonus=0.1, score_floor=-0.8)
    assert shaping(1.0, True, ToolUse(1, 1, 6), options) == pytest.approx(0.05)
    assert shaping(-1.0, False, ToolUse(1, 1, 4), options) == pytest.approx(0.2), "-1.1, +0.1, floor"
    assert shaping(-1.0, False, ToolUse(1, 0, 20), options) == pytest.approx(0.4), "the cap is below the floor"


def test_the_published_0_1_variant_is_a_floor():
    assert compute_score("math_dapo", "no", "4", score_floor=0.0)["score"] == 0.0
    assert compute_score("math_dapo", r"\boxed{4}", "4", score_floor=0.0)["score"] == 1.0


def test_shaping_is_in_the_score_and_never_in_acc():  # D29
    info = {"trajectory": record("ok"), "num_turns": 4}
    right = compute_score("math_dapo", r"\boxed{4}", "4", info, success_bonus=0.15)
    assert (right["score"], right["shaping"], right["acc"]) == (pytest.approx(1.15), pytest.approx(0.15), True)
    wrong = compute_score("math_dapo", "no", "4", info, score_floor=2.0)
    assert (wrong["score"], wrong["acc"]) == (2.0, False)
