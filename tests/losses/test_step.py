"""Pairs of a step: who is chosen, what they are pushed by, and how rows are cut into updates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleartrace.losses.options import Mode, NegativesConfig
from cleartrace.losses.selection import Candidate, StepShape, choose, updates_of
from cleartrace.losses.step import PairScores, preference_metrics, push_pairs

ROW = np.array([-1.0, -1.0])


def pair(good: float = -1.0, failed: float = -1.0, advantage: float = 1.0) -> PairScores:
    w, lose = np.full(4, good), np.full(2, failed)
    return PairScores(w, lose, w, lose, advantage)


def test_d32_the_budget_is_one_of_the_prompt():
    """16 rollouts with one repaired call each, budget 1: one pair, rows together."""
    rollouts = [Candidate("prompt", draw, (f"p_{i}_0", f"p_{i}_1")) for i, draw in enumerate(np.linspace(1, 0, 16))]
    (chosen,) = choose(rollouts, per_group=1)
    assert chosen.keys == ("p_15_0", "p_15_1")


def test_the_budget_of_a_step_takes_the_lowest_draws_of_all_prompts():
    candidates = [Candidate(f"g{i % 3}", (7 * i) % 10 / 10, (str(i),)) for i in range(10)]
    chosen = choose(candidates, per_group=2, per_step=4)
    assert [c.draw for c in chosen] == sorted(c.draw for c in chosen) and len(chosen) == 4
    assert choose(reversed(candidates), per_group=2, per_step=4) == chosen  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), max_size=30), st.integers(1, 3), st.integers(1, 9))
def test_no_budget_is_exceeded_and_none_is_wasted(drawn, per_group, per_step):
    candidates = [Candidate(f"g{g}", d, (str(i),)) for i, (g, d) in enumerate(drawn)]
    chosen = choose(candidates, per_group=per_group, per_step=per_step)
    groups = {c.group: sum(1 for x in candidates if x.group == c.group) for c in candidates}
    assert len(chosen) == min(per_step, sum(min(per_group, n) for n in groups.values()))
    assert len({c.keys for c in chosen}) == len(chosen)


def test_pairs_of_a_step_add_their_mean_loss_whatever_their_number():
    config = NegativesConfig(mode=Mode.DPO, beta=0.4, weight=0.5)
    one, three = push_pairs([pair()], config, loss_tokens=600), push_pairs([pair()] * 3, config, loss_tokens=600)
    assert one[0].good == pytest.approx(0.5 * 0.2 * 600)
    assert sum(p.good for p in three) == pytest.approx(one[0].good) == pytest.approx(-one[0].failed)


@pytest.mark.parametrize("mode", [Mode.LEGACY, Mode.CORRECTED])
def test_the_shifts_raise_the_good_call_and_lower_the_failed_one(mode):
    (push,) = push_pairs([pair(good=-3.0)], NegativesConfig(mode=mode), loss_tokens=0)
    assert push.good > 0 > push.failed
    assert 4 * push.good == pytest.approx(-2 * push.failed), "no token meets the cap here"


def test_off_pushes_nothing():
    with pytest.raises(ValueError, match="mode is off"):
        push_pairs([pair()], NegativesConfig(), loss_tokens=1)


def test_metrics_of_a_step():
    config = NegativesConfig(mode=Mode.CORRECTED)
    pushes = push_pairs([pair(good=-0.5), pair(good=-2.0)], config, loss_tokens=0)
    got = preference_metrics(pushes, rollouts=6, left_out=1)
    assert (got["grpo/num_positive_samples"], got["grpo/num_negative_samples"], got["grpo/total_samples"]) == (6, 2, 8)
    assert (got["grpo/negative_ratio"], got["preference/accuracy"], got["preference/left_out"]) == (0.25, 0.5, 1)
    assert got["preference/margin"] == pytest.approx((0.5 - 1.0) / 2)


def test_no_mean_is_made_up_where_there_is_no_pair():
    got = preference_metrics([], rollouts=4, left_out=0)
    assert got["grpo/num_negative_samples"] == got["grpo/negative_ratio"] == 0
    assert not {"preference/margin", "preference/loss", "preference/accuracy"} & set(got)


def test_verl_aggregates_no_metric_by_a_word_in_its_name():
    """(14.6) names with max, min, sum or mean in them choose how local updates of a step are combined."""
    names = preference_metrics(
        push_pairs([pair()], NegativesConfig(mode=Mode.LEGACY), loss_tokens=0), rollouts=1, left_out=0
    )
    ours = [name for name in names if name.startswith("preference/")]
    assert not [name for name in ours if any(word in name for word in ("max", "min", "sum", "total", "mean", "avg"))]


@given(
    st.integers(1, 16),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(1, 5),
    st.integers(1, 4000),
)
def test_d33_rows_divide_evenly_into_the_same_number_of_updates(unit, ranks, micro, forward, updates, rows):
    """Odd counts on several ranks: filler completes the step, no row is dropped."""
    multiple = StepShape(unit, ranks, micro, forward).multiple(updates)
    filled = -(-rows // multiple) * multiple
    mini = filled // updates
    assert filled % updates == 0 and mini % unit == 0, "a mini-batch is a whole number of prompts"
    assert mini % ranks == 0 and mini // ranks % micro == 0
    assert filled // ranks % forward == 0


def test_a_step_keeps_the_updates_it_has_without_pairs():
    assert [updates_of(n, 512) for n in (2048, 2047, 512, 1)] == [4, 4, 1, 1]
    recipe = StepShape(unit=16, ranks=8)
    assert recipe.multiple(4) == 64, "one pair costs at most 63 rows of filler, not 511"
