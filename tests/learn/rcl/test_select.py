"""Merging runs and choosing signals (A12)."""

import pytest

from cleartrace.learn.rcl.groups import merge
from cleartrace.learn.rcl.sampler import SamplerState
from cleartrace.learn.rcl.select import SelectionRules, select
from tests.learn.rcl.samples import episode, task


def group(name: str, *scores: float | None, replayed: bool = False, probe: float | None = None):
    runs = [episode(name, score, seed) for seed, score in enumerate(scores)]
    if probe is not None:
        runs.append(episode(name, probe, 99, probe="full"))
    return merge(task(name), runs, replayed)


def chosen(groups, state=None, iteration=1, **rules):
    picked = select(groups, state or SamplerState(), SelectionRules(**rules), 42, iteration)
    return [one.task.id for one in picked.signals]


def test_a_group_records_all_of_its_figures():
    one = group("a", 1.0, 0.25, None, probe=0.0)
    assert [run.trajectory.seed for run in one.clean] == [1, 0]
    assert (one.scores, one.spread, one.mean) == ((0.25, 1.0), 0.75, 0.625)
    assert one.any_passed and not one.all_passed and one.contrastive and one.unscored == 1


def test_s8_a_group_of_probes_alone_is_skipped_with_a_reason():
    picked = select([group("a", probe=0.0)], SamplerState(), SelectionRules(), 42, 1)
    assert picked.signals == () and picked.passed_over == {"a": "no clean run: only probe runs"}


@pytest.mark.parametrize("reflect_all", [False, True])
def test_r12_what_infrastructure_spoiled_is_never_selected(reflect_all):
    groups = [group("a", None), group("b", None, None), group("c", None, 0.0)]
    picked = select(groups, SamplerState(), SelectionRules(mini_batch=3, reflect_all=reflect_all), 42, 1)
    assert [one.task.id for one in picked.signals] == ["c"]
    assert "not the agent's" in picked.passed_over["a"]
    assert picked.signals[0].scores == (0.0,)


def test_r21_all_fail_groups_fill_what_contrastive_ones_leave():
    groups = [group("f1", 0, 0), group("f2", 0, 0), group("c", 1, 0), group("f3", 0, 0)]
    names = chosen(groups, mini_batch=3)
    assert names[0] == "c" and len(names) == 3


def test_a12_contrastive_first_by_spread_and_all_pass_ignored():
    groups = [group("p", 1, 1), group("f", 0, 0), group("narrow", 1, 0.5), group("wide", 1, 0)]
    assert chosen(groups, mini_batch=4) == ["wide", "narrow", "f"]
    picked = select(groups, SamplerState(), SelectionRules(mini_batch=4), 42, 1)
    assert picked.passed_over == {"p": "every run passed"}


def test_a12_a_probe_is_evidence_and_never_a_run():
    picked = select([group("a", 0.0, probe=1.0)], SamplerState(), SelectionRules(), 42, 1).signals[0]
    assert picked.scores == (0.0,) and not picked.contrastive
    assert picked.probe is not None and picked.probe.is_probe
    assert chosen([group("a", 1.0, probe=0.0)]) == []


def test_r20_a_share_is_reserved_for_replayed_tasks():
    groups = [group("r", 0.0, replayed=True), group("a", 0.0), group("b", 0.0)]
    assert [chosen(groups, mini_batch=2, replay_ratio=0.5, iteration=i).count("r") for i in range(1, 6)] == [1] * 5
    assert [chosen(groups, mini_batch=2, iteration=i).count("r") for i in range(1, 6)] == [0] * 5


@pytest.mark.parametrize(("ratio", "due"), [(0.5, [2, 4, 6]), (0.25, [4]), (1.0, [1, 2, 3, 4, 5, 6]), (0.0, [])])
def test_r20_with_one_signal_an_iteration_the_share_adds_up(ratio, due):
    groups = [group("r", 0.0, replayed=True), group("a", 0.0)]
    got = [i for i in range(1, 7) if chosen(groups, replay_ratio=ratio, iteration=i) == ["r"]]
    assert got == due


def test_replayed_tasks_fill_what_is_left():
    assert sorted(chosen([group("r", 0.0, replayed=True), group("a", 0.0)], mini_batch=5)) == ["a", "r"]


def test_published_rank_without_groups():
    """Ascending by replayed, times reflected, times seen, score."""
    groups = [
        group("often", 0.0),
        group("low", 0.1),
        group("high", 0.9),
        group("seen", 0.0),
        group("r", 0, replayed=True),
    ]
    state = SamplerState(reflected={"often": 1}, seen={"seen": 2, "low": 1, "high": 1})
    assert chosen(groups, state, mini_batch=5) == ["low", "high", "seen", "often", "r"]


def test_s1_reflect_all_composes_with_groups():
    """The published code skipped merging: runs of one group, and its probe, were reflected on one by one."""
    groups = [group("p", 1, 1, probe=0.0), group("c", 1, 0), group("f", 0, 0)]
    picked = select(groups, SamplerState(), SelectionRules(mini_batch=3, reflect_all=True), 42, 1)
    assert [(one.task.id, len(one.episodes)) for one in picked.signals] == [("c", 2), ("f", 2), ("p", 2)]


def test_the_threshold_keeps_good_enough_runs_out():
    groups = [group("a", 0.8), group("b", 0.4)]
    assert chosen(groups, mini_batch=2, threshold=0.5) == ["b"]
    picked = select(groups, SamplerState(), SelectionRules(mini_batch=2, threshold=0.5), 42, 1)
    assert picked.passed_over == {"a": "no run below 0.5"}


def test_r19_an_answer_that_could_not_be_read_is_a_signal():
    from cleartrace.episodes.types import Episode, Failure, FailureKind, Outcome

    bad = episode("a", 0.0)
    failed = Outcome(score=0.0, failure=Failure(kind=FailureKind.FORMAT, message="no answer found"))
    assert chosen([merge(task("a"), [Episode(trajectory=bad.trajectory, outcome=failed)])]) == ["a"]
