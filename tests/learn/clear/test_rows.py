"""Subsets, rows, splits (A22, A23)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Episode, Failure, FailureKind, Outcome, Task, Trajectory
from cleartrace.learn.clear.collect import CollectPlan
from cleartrace.learn.clear.rows import GuidanceRow, Reason, gather, split
from cleartrace.learn.clear.subsets import Keep, missing, subsets


def task(name: str, group: str = "") -> Task:
    return Task(environment="world", id=name, input=f"do {name}", group=group)


def run(name: str, seed: int, score: float) -> Episode:
    trajectory = Trajectory(environment="world", task_id=name, agent="a", seed=seed, output=f"{name} {seed}")
    return Episode(trajectory=trajectory, outcome=Outcome(score=score))


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    store = EpisodeStore(tmp_path)
    for name, scores in {"t1": [1, 0, 1, 0, 1, 0, 1], "t2": [0, 0, 0, 0, 0, 0], "t3": [1, 0]}.items():
        for seed, score in enumerate(scores):
            store.add(run(name, seed, score))
    return store


def test_a22_six_runs_give_twenty_sets_of_three_in_a_fixed_order(store: EpisodeStore) -> None:
    found = subsets(store, [task("t1")])
    assert len(found) == 20 == len({one.id for one in found}) and found == subsets(store, [task("t1")])
    assert Counter(id for one in found for id in one.episodes).most_common()[-1][1] == 10  # every run in half of them
    assert [[store.get(id).trajectory.seed for id in one.episodes] for one in (found[0], found[-1])] == [
        [0, 1, 2],
        [3, 4, 5],
    ]
    assert found[0].scores == (1.0, 0.0, 1.0), "the seventh run of seven is not among the first six"


def test_a22_a_limit_draws_under_the_seed(store: EpisodeStore) -> None:
    def drawn(seed: int) -> list[str]:
        return [one.id for one in subsets(store, [task("t1")], limit=5, seed=seed)]

    assert len(drawn(0)) == 5 and drawn(0) == drawn(0) != drawn(1)


def test_a_limit_draws_among_those_that_are_kept(store: EpisodeStore) -> None:
    found = [subsets(store, [task("t1")], limit=5, keep=Keep.CONTRASTIVE, seed=s) for s in range(6)]
    assert all(len(one) == 5 and all(0 < sum(set_.scores) < 3 for set_ in one) for one in found)


def test_contrastive_sets_have_a_pass_and_a_failure(store: EpisodeStore) -> None:
    found = subsets(store, [task("t1"), task("t2")], keep=Keep.CONTRASTIVE)
    assert {one.task.id for one in found} == {"t1"} and len(found) == 18  # 20 without all-pass and all-fail


def test_without_contrast_each_run_is_looked_at_alone(store: EpisodeStore) -> None:
    assert [len(one.episodes) for one in subsets(store, [task("t2")], k=1)] == [1] * 6
    with pytest.raises(ValueError, match="between 1 and n = 2"):
        subsets(store, [task("t1")], n=2, k=3)


def test_too_few_runs_are_said(store: EpisodeStore) -> None:
    assert missing(store, [task("t1"), task("t3")], 6) == ["t3"]
    assert subsets(store, [task("t3")]) == []


def test_an_id_is_the_same_for_the_same_material_in_other_times(store: EpisodeStore, tmp_path: Path) -> None:
    other = EpisodeStore(tmp_path / "slow")
    for seed, score in enumerate([1, 0, 1, 0, 1, 0]):
        episode = run("t1", seed, score)
        slower = episode.trajectory.model_copy(update={"seconds": 9.5})
        other.add(episode.model_copy(update={"trajectory": slower}))
    found = [subsets(where, [task("t1")]) for where in (store, other)]
    assert [one.id for one in found[0]] == [one.id for one in found[1]]
    assert found[0][0].episodes != found[1][0].episodes


def test_runs_that_are_added_take_no_set_away_and_no_id(tmp_path: Path) -> None:
    """Seeds are random numbers: the first n are the first of the plan, not the smallest."""
    store, task_ = EpisodeStore(tmp_path), task("t1")
    seeds = CollectPlan(runs=8).seeds
    for number, seed in enumerate(seeds[:6]):
        store.add(run("t1", seed, float(number % 2)))
    before = subsets(store, [task_], order=CollectPlan(runs=6).seeds)
    for seed in seeds[6:]:
        store.add(run("t1", seed, 1.0))
    assert subsets(store, [task_], order=seeds) == before
    more = subsets(store, [task_], n=8, order=seeds)
    assert len(before) == 20 and len(more) == 56 and {one.id for one in before} < {one.id for one in more}


def test_equal_runs_under_other_seeds_are_other_sets(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path)
    for seed in range(3):
        same = run("t1", 0, 1.0)
        store.add(same.model_copy(update={"trajectory": same.trajectory.model_copy(update={"seed": seed})}))
    assert len({one.id for one in subsets(store, [task("t1")], k=2)}) == 3


def test_an_id_names_these_very_runs(store: EpisodeStore, tmp_path: Path) -> None:
    other = EpisodeStore(tmp_path / "other")
    for seed, score in enumerate([0, 1, 0, 1, 0, 1]):
        other.add(run("t1", seed, score))
    ids = [{one.id for one in subsets(where, [task("t1")])} for where in (store, other)]
    assert not ids[0] & ids[1]


def reflected(subset: str, guidance: object, failure: FailureKind | None = None) -> Episode:
    outcome = Outcome(
        score=None if failure else float(isinstance(guidance, str)),
        details={"guidance": guidance},
        failure=Failure(kind=failure) if failure else None,
    )
    return Episode(trajectory=Trajectory(environment="reflection", task_id=subset, agent="w"), outcome=outcome)


def test_rows_and_what_was_dropped_are_all_reflections(store: EpisodeStore) -> None:
    sets = subsets(store, [task("t1")])[:6]
    texts = ["Read the balance first.", "read  the balance FIRST.", "The answer is 4711.", None, "x", ""]
    runs = [
        reflected(one.id, text, FailureKind.ENGINE if text == "x" else None)
        for one, text in zip(sets, texts, strict=True)
    ]
    found = gather(sets, [*runs, reflected("another#0123456789ab", "Read.")], lambda _, text: "4711" * ("4711" in text))
    assert [row.guidance for row in found.rows] == ["Read the balance first.", ""]
    assert [(one.reason, one.note, one.guidance) for one in found.dropped] == [
        (Reason.DUPLICATE, "", texts[1]), (Reason.LEAK, "4711", texts[2]),
        (Reason.NO_GUIDANCE, "", None), (Reason.FAILED, "engine: ", None),
    ]  # fmt: skip
    row = found.rows[0]
    assert (row.task_id, row.group, row.task, row.subset) == ("t1", "t1", "do t1", sets[0].id)
    assert row.episodes == sets[0].episodes and row.reflection == runs[0].id and row.scores == sets[0].scores


def row(group: str, name: str, text: str | None = None) -> GuidanceRow:
    return GuidanceRow(
        environment="world", task_id=name, group=group, task=text or f"a task all of its own, {name} of {group}",
        guidance="g", subset=name, episodes=(), scores=(), reflection="r", writer="w",
    )  # fmt: skip


def test_a23_no_scenario_is_on_both_sides() -> None:
    rows = [row(f"s{n % 7}", f"t{n}") for n in range(70)]
    found = split(rows, 0.2, seed=3)
    sides = [{one.group for one in side} for side in (found.train, found.held_out)]
    assert not sides[0] & sides[1] and 14 <= len(found.held_out) <= 24
    assert sorted(found.train + found.held_out, key=rows.index) == rows and not found.moved
    assert found == split(rows, 0.2, seed=3) and any(found != split(rows, 0.2, seed=s) for s in range(5))


def test_a23_twins_of_held_out_tasks_are_moved_out_of_training() -> None:
    text = "transfer the whole balance of the savings account to Ada and tell her"
    rows = [row(f"s{n}", f"t{n}", text if n < 4 else None) for n in range(8)]
    found = split(rows, 0.5, seed=0)
    held = [one for one in found.held_out if one.task == text]
    assert held and len(found.moved) == 4 - len(held) and all(one.task != text for one in found.train)
    assert not split(rows, 0.5, seed=0, near=1.1).moved


def test_a23_a_training_side_of_twins_alone_is_refused() -> None:
    rows = [row(f"s{n}", f"t{n}", "pay the whole balance of the account to Ada") for n in range(4)]
    with pytest.raises(ValueError, match="all 3 rows to train on nearly repeat a held-out task"):
        split(rows, 0.25)
    assert len(split(rows, 0.25, near=1.1).train) == 3


def test_one_scenario_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="1 scenarios cannot be split"):
        split([row("s", "a"), row("s", "b")])
