"""Paired comparison of arms, and the refusal of unfair ones (A29)."""

from __future__ import annotations

import pytest

from cleartrace.episodes.types import FailureKind
from cleartrace.evaluate.context.compare import Unfair, compare
from cleartrace.evaluate.stats import clustered_interval, sign_flip_p
from tests.evaluate.context.make_arm import arm


def test_differences_are_taken_task_by_task() -> None:
    base = arm({"a": [1.0, 0.0], "b": [0.0, 0.0], "c": [1.0, 1.0]}, name="none")
    other = arm({"a": [1.0, 1.0], "b": [0.5, 0.0], "c": [1.0, 0.0]}, name="playbook")
    found = compare(base, other)
    assert found.tgc.value == 0.0 and found.score.value == pytest.approx(0.25 / 3)
    assert (found.gained, found.lost, found.pairs, found.left_out) == (("a",), ("c",), 6, 0)


def test_what_has_no_score_is_left_out_on_both_sides_and_said() -> None:
    base = arm({"a": [1.0], "b": [FailureKind.ENGINE]}, name="none")
    found = compare(base, arm({"a": [1.0], "b": [1.0]}, name="playbook"))
    assert (found.tasks, found.pairs, found.left_out, found.tgc.value) == (1, 1, 1, 0.0)


@pytest.mark.parametrize(
    "change", [{"agent": "b"}, {"split": "val"}, {"cap": 512}, {"environment": "other"}], ids=lambda c: next(iter(c))
)
def test_a29_arms_that_differ_in_more_than_context_are_refused(change: dict) -> None:
    base, other = arm({"a": [1.0]}), arm({"a": [1.0]}, **change)
    with pytest.raises(Unfair, match=next(iter(change))):
        compare(base, other)
    assert compare(base, other, force=True).differences == tuple(change)


@pytest.mark.parametrize("name", ["task_timeout", "user_model"])
def test_a29_what_ends_runs_and_is_not_in_the_agents_hash_must_agree(name: str) -> None:
    settings = {"model": "m", "user_model": "u", "task_timeout": 900.0}
    base = arm({"a": [1.0]}, agent_settings=settings)
    other = arm({"a": [0.0]}, agent_settings={**settings, name: 1.0})
    with pytest.raises(Unfair, match=name):
        compare(base, other)
    assert compare(base, other, force=True).differences == (name,)
    assert compare(base, arm({"a": [0.0]}, agent_settings=settings)).differences == ()


def test_a29_other_seeds_are_refused() -> None:
    with pytest.raises(Unfair, match="seeds"):
        compare(arm({"a": [1.0]}), arm({"a": [1.0, 1.0]}))


def test_nothing_in_common_is_said() -> None:
    with pytest.raises(Unfair, match="no scored run"):
        compare(arm({"a": [None]}), arm({"a": [1.0]}))


def test_scenarios_change_sign_together() -> None:
    """Ten tasks of one scenario that all got better are one observation, not ten."""
    base, other = ({f"t{n}": [score] for n in range(10)} for score in (0.0, 1.0))
    one_scenario = {task: "s" for task in base}
    assert compare(arm(base), arm(other)).p_tgc == pytest.approx(2 / 2**10)
    assert compare(arm(base, one_scenario), arm(other, one_scenario)).p_tgc == 1.0


def test_an_interval_over_clusters_of_one_is_the_plain_bootstrap() -> None:
    values = [1.0, 0.0, 0.0, 1.0, 1.0] * 8
    alone, paired = clustered_interval(values, range(40)), clustered_interval(values, [n // 2 for n in range(40)])
    assert 0.4 < alone[0] < 0.6 < alone[1] < 0.8 and alone != paired


def test_the_permutation_test_holds_its_level() -> None:
    """Under the null, p <= 0.05 comes about in 5 % of 400 experiments."""
    import random

    rng = random.Random("sign flips")
    hits = sum(sign_flip_p([rng.gauss(0, 1) for _ in range(9)]) <= 0.05 for _ in range(400))
    assert 8 <= hits <= 34
