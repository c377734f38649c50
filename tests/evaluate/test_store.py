"""What a death at any moment leaves behind, and what may not be mixed."""

from __future__ import annotations

from pathlib import Path

import pytest
from make_outcome import outcome

from cleartrace.data.growing import StoreError
from cleartrace.evaluate.store import RolloutStore, read_outcomes

IDENTITY = {"policy": "tiny@1", "seed": 0, "sampling": {"top_p": 0.6}}


def fill(folder: Path, n: int = 3) -> None:
    with RolloutStore(folder, IDENTITY) as store:
        for i in range(n):
            store.append(outcome("a", i), f'{{"rollout":{i}}}')


def test_a_second_start_knows_what_is_done(tmp_path: Path) -> None:
    fill(tmp_path)
    with RolloutStore(tmp_path, IDENTITY) as store:
        assert sorted(store.done) == [("a", "off", i) for i in range(3)]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_dropped_wherever_it_was_torn(tmp_path: Path, cut: int) -> None:
    fill(tmp_path)
    path = tmp_path / "rollouts.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    with RolloutStore(tmp_path, IDENTITY) as store:
        assert sorted(store.done) == [("a", "off", 0), ("a", "off", 1)]
        store.append(outcome("a", 2))
    assert [row.rollout for row in read_outcomes(path)] == [0, 1, 2]


def test_a_record_never_stands_behind_its_outcome(tmp_path: Path) -> None:
    """A death between the two writes leaves a record without an outcome: the rollout is made again."""
    with RolloutStore(tmp_path, IDENTITY) as store:
        store.lines.pop("rollouts.jsonl")
        with pytest.raises(KeyError):
            store.append(outcome("a", 0), "{}")
    assert (tmp_path / "trajectories.jsonl").read_text() == "{}\n"
    with RolloutStore(tmp_path, IDENTITY) as store:
        assert store.done == {}


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    fill(tmp_path)
    changed = {**IDENTITY, "sampling": {"top_p": 1.0}}
    with pytest.raises(StoreError, match=r"sampling: \{'top_p': 0.6\} there, \{'top_p': 1.0\} now.*another --out"):
        RolloutStore(tmp_path, changed).__enter__()
    fill(tmp_path, 0)  # the failed start gave its lock back


def test_rollouts_of_unknown_origin_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rollouts.jsonl").write_text("")
    with pytest.raises(StoreError, match="no evaluation.json"):
        RolloutStore(tmp_path, IDENTITY).__enter__()


def test_two_writers_are_refused(tmp_path: Path) -> None:
    with RolloutStore(tmp_path, IDENTITY), pytest.raises(StoreError, match="another process"):
        RolloutStore(tmp_path, IDENTITY).__enter__()


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "rollouts.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + '{"row": 1}\n' + lines[2])
    with pytest.raises(StoreError, match=r"rollouts.jsonl, line 2: sample_id: Field required"):
        list(read_outcomes(path))


def test_text_that_is_no_unicode_can_be_written(tmp_path: Path) -> None:
    with RolloutStore(tmp_path, IDENTITY) as store:
        store.append(outcome("a", 0), '{"text": "\ud800"}')
    assert "ud800" in (tmp_path / "trajectories.jsonl").read_text()
