"""Completion figures against hand-computed ones, and the published numbers of R2 and R30."""

from __future__ import annotations

import math

import pytest

from cleartrace.episodes.types import FailureKind, Usage
from cleartrace.evaluate.context.arm import Arm
from cleartrace.evaluate.context.metrics import summarise
from tests.evaluate.context.make_arm import arm, episode

TWO_SCENARIOS = {task: task[0] for task in ("a1", "a2", "a3", "b1", "b2", "b3")}


def test_r2_a_timeout_counts_and_its_scenario_is_not_completed() -> None:
    scores = {task: [1.0] for task in TWO_SCENARIOS} | {"b2": [FailureKind.TIME_LIMIT]}
    found = summarise(arm(scores, TWO_SCENARIOS))
    assert found.tgc.mean == pytest.approx(5 / 6) and found.sgc.mean == 1 / 2
    assert found.failures == {"time_limit": 1} and found.unscored == 0


@pytest.mark.parametrize("gone", [None, FailureKind.SANDBOX])
def test_r2_what_is_missing_or_spoiled_raises_no_completion_figure(gone: FailureKind | None) -> None:
    scores = {task: [1.0] for task in TWO_SCENARIOS} | {"b2": [gone]}
    found = summarise(arm(scores, TWO_SCENARIOS))
    assert found.tgc.mean == pytest.approx(5 / 6) and found.sgc.mean == 1 / 2 and found.scored_tgc == 1.0
    assert (found.missing, found.unscored) == ((1, 0) if gone is None else (0, 1))


def test_r30_the_standard_deviation_is_that_of_a_sample() -> None:
    passes = (133, 135, 141)
    found = summarise(arm({f"t{n}": [float(n < count) for count in passes] for n in range(168)}))
    assert found.tgc.std is not None
    assert [round(100 * value, 2) for value in (found.tgc.mean, found.tgc.std)] == [81.15, 2.48]
    assert found.tgc.passes == tuple(count / 168 for count in passes)


def test_one_pass_has_no_deviation_and_wide_intervals() -> None:
    found = summarise(arm({"a": [1.0], "b": [0.0]}))
    assert found.tgc.std is None and found.tgc_interval == (0.0, 1.0)


def test_pass_at_k_is_the_unbiased_one() -> None:
    found = summarise(arm({"a": [1.0, 0.0, 0.0, 0.0], "b": [0.4, 0.0, 0.0, 0.0]}))
    assert {k: one.value for k, one in found.pass_at.items()} == {1: 0.125, 2: 0.25, 4: 0.5}
    assert found.score.value == pytest.approx((0.25 + 0.1) / 2)


def test_r4_probe_runs_count_nowhere() -> None:
    clean = arm({"a": [1.0, 1.0]})
    both = Arm.of("arm", clean.manifest, [*clean.episodes, episode("a", 0, 0.0, probe="drop:e1")])
    assert summarise(both) == summarise(clean)


def test_one_task_and_seed_has_one_run() -> None:
    clean = arm({"a": [1.0]})
    with pytest.raises(ValueError, match="two runs of task a under seed 0"):
        Arm.of("arm", clean.manifest, [*clean.episodes, episode("a", 0, 0.0)])


def test_cost_is_per_run_and_context_apart() -> None:
    cost = summarise(arm({"a": [1.0], "b": [0.0]})).cost
    assert (cost.agent_tokens, cost.context_tokens, cost.dollars) == (120, 10, pytest.approx(0.3))
    assert (cost.turns, cost.seconds, cost.seconds_per_turn, cost.context_seconds) == (4, 2.0, 0.5, 0.5)


def test_dollars_are_unknown_where_the_context_has_tokens_and_no_price() -> None:
    clean = arm({"a": [1.0]})
    unpriced = episode("a", 0, 1.0, made=Usage(calls=1, output_tokens=10))
    assert summarise(Arm.of("arm", clean.manifest, [unpriced])).cost.dollars is None
    without = episode("a", 0, 1.0, made=Usage())
    assert summarise(Arm.of("arm", clean.manifest, [without])).cost.dollars == 0.25


def test_an_arm_without_runs_is_all_missing() -> None:
    found = summarise(arm({"a": [None], "b": [None]}))
    assert found.missing == 2 and found.tgc.mean == 0.0 and found.scored_tgc is None and math.isnan(found.cost.seconds)
