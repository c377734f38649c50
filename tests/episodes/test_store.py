"""The store: whole runs or none, found by what they were."""

import json
import os
import signal
import subprocess
import sys
import time
from math import comb
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_episode import episode

from cleartrace.episodes.files import StoreError, folder_name
from cleartrace.episodes.identity import TaskKey, context_hash, run_key
from cleartrace.episodes.index import INDEX_FILE
from cleartrace.episodes.migrate import OUTCOME, TRAJECTORY, SchemaError, upgrade
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Context, Failure, FailureKind, Outcome, PartKind, PartRef, RunKind

WRITER = """
import sys
sys.path.insert(0, sys.argv[3])
from make_episode import episode
from cleartrace.episodes.store import EpisodeStore
store = EpisodeStore(sys.argv[1])
print("open", flush=True)
for seed in range(int(sys.argv[2]), int(sys.argv[2]) + 100_000):
    store.add(episode(task=f"t{seed % 7}", seed=seed))
"""


def test_an_episode_comes_back_as_it_was(tmp_path):
    run = episode(text="half \ud83d, \u2028 and \x85")
    store = EpisodeStore(tmp_path)
    id = store.add(run)
    assert store.add(run) == id == run.id
    assert store.get(id) == run
    assert EpisodeStore(tmp_path).get(id) == run
    assert len(store) == 1


def test_a_run_is_three_files_with_the_outcome_apart(tmp_path):
    store = EpisodeStore(tmp_path)
    folder = store.path(store.add(episode(task="a/b", score=0.640625)))
    assert sorted(path.name for path in folder.iterdir()) == ["outcome.json", "trajectory.jsonl", "view.md"]
    assert json.loads((folder / "outcome.json").read_text())["score"] == 0.640625
    for name in ("trajectory.jsonl", "view.md"):
        text = (folder / name).read_text()
        assert "0.640625" not in text and "judged" not in text
    header, *steps = (json.loads(line) for line in (folder / "trajectory.jsonl").read_text().splitlines())
    assert header["task_id"] == "a/b" and [step["kind"] for step in steps] == ["input", "call", "result", "message"]


def test_a3_unknown_fields_of_every_part_survive(tmp_path):
    run = episode(later_field={"kept": [1]})
    run = run.model_copy(update={"outcome": Outcome(score=1.0, later_note="kept")})
    store = EpisodeStore(tmp_path)
    back = store.get(store.add(run))
    assert back.trajectory.later_field == {"kept": [1]} and back.outcome.later_note == "kept"
    assert back.canonical() == run.canonical()


def test_a3_older_versions_are_migrated_when_read(tmp_path):
    store = EpisodeStore(tmp_path)
    folder = store.path(store.add(episode()))
    for name in ("trajectory.jsonl", "outcome.json"):
        first, *rest = (folder / name).read_text().split("\n")
        first = json.dumps({key: value for key, value in json.loads(first).items() if key != "schema_version"})
        (folder / name).write_text("\n".join([first, *rest]))
    assert store.get(folder.name) == episode()
    assert "schema_version" not in (folder / "outcome.json").read_text()


def test_a3_migrations_run_one_after_the_other_and_later_versions_are_refused():
    steps = {0: lambda raw: {**raw, "a": 1}, 1: lambda raw: {**raw, "b": raw["a"] + 1}}
    assert upgrade({"extra": 5}, steps, 2) == {"extra": 5, "a": 1, "b": 2, "schema_version": 2}
    assert upgrade({"schema_version": 1, "a": 5}, steps, 2)["b"] == 6
    with pytest.raises(SchemaError, match="later cleartrace"):
        upgrade({"schema_version": 2}, TRAJECTORY, 1)
    with pytest.raises(SchemaError, match="not a number"):
        upgrade({"schema_version": "one"}, OUTCOME)
    with pytest.raises(SchemaError, match="no longer"):
        upgrade({"schema_version": 0}, {}, 1)


def test_find_takes_any_combination(tmp_path):
    store = EpisodeStore(tmp_path)
    probe = Context(text="x", probe="drop", provider_hash="p2")
    for run in (
        episode("t1", 1),
        episode("t1", 0, agent="other"),
        episode("t2", 0),
        episode("t1", 2, context=probe),
        episode("t1", 3, environment="other"),
    ):
        store.add(run)

    def seeds(**filters):
        return [(row.environment, row.task, row.seed) for row in store.find(**filters)]

    assert seeds(environment="env", task="t1") == [("env", "t1", 0), ("env", "t1", 1), ("env", "t1", 2)]
    assert seeds(agent="other") == [("env", "t1", 0)]
    assert seeds(seed=0, task="t2") == [("env", "t2", 0)]
    assert seeds(kind=RunKind.PROBE) == seeds(provider="p2") == seeds(context=context_hash(probe)) == [("env", "t1", 2)]
    assert len(seeds()) == 5
    assert store.tasks() == [("env", "t1"), ("env", "t2"), ("other", "t1")]


def test_the_context_hash_follows_text_and_revisions_and_not_the_provider():
    def parts(revision):
        return (PartRef(kind=PartKind.ENTRY, id="s-1", revision=revision),)

    base = Context(text="x", parts=parts(1), provider_hash="p")
    assert context_hash(base) == context_hash(base.model_copy(update={"provider_hash": "q"}))
    others = [{"text": "y"}, {"parts": parts(2)}, {"probe": "cite"}]
    assert len({context_hash(base.model_copy(update=other)) for other in [{}, *others]}) == 4


def test_a_run_that_counts_is_found_by_its_key_and_a_lost_one_is_not(tmp_path):
    store = EpisodeStore(tmp_path)
    store.add(episode(score=None))
    assert store.made(run_key(episode().trajectory)) is None
    id = store.add(episode(score=0.5))
    found = store.made(run_key(episode().trajectory))
    assert found is not None and found.id == id


def test_a_run_that_ended_by_itself_is_preferred_to_those_that_a_limit_ended(tmp_path):
    store = EpisodeStore(tmp_path)
    late = Outcome(score=0.0, failure=Failure(kind=FailureKind.TIME_LIMIT))
    for seconds in range(8):
        store.add(episode(seconds=seconds).model_copy(update={"outcome": late}))
    id = store.add(episode())
    found = store.made(run_key(episode().trajectory))
    assert found is not None and found.id == id


def test_a22_six_runs_give_twenty_sets_of_three_in_one_order(tmp_path):
    store = EpisodeStore(tmp_path)
    for seed in (3, 1, 5, 0, 4, 2):
        store.add(episode(seed=seed))
    store.add(episode(seed=6, score=None))
    store.add(episode(seed=7, context=Context(probe="drop")))
    task = TaskKey("env", "t1")
    sets = store.subsets(task, n=6, k=3)
    assert len(sets) == comb(6, 3) == 20
    assert [row.seed for row in sets[0]] == [0, 1, 2] and [row.seed for row in sets[-1]] == [3, 4, 5]
    assert EpisodeStore(tmp_path).subsets(task) == sets
    few = store.subsets(task, limit=5, seed=1)
    assert few == store.subsets(task, limit=5, seed=1) and len(set(few)) == 5
    assert [sets.index(one) for one in few] == sorted(sets.index(one) for one in few)
    assert few != store.subsets(task, limit=5, seed=2)
    assert len(store.subsets(task, n=4)) == 4 and store.subsets(task, k=9) == []


@pytest.mark.parametrize("damage", ["missing", "torn", "rubbish", "stale"])
def test_the_index_is_made_again_from_the_files(tmp_path, damage):
    store = EpisodeStore(tmp_path)
    ids = {store.add(episode(seed=seed)) for seed in range(4)}
    index = tmp_path / INDEX_FILE
    whole = index.read_bytes()
    index.unlink()
    if damage != "missing":
        index.write_bytes(
            {"torn": whole[:-20], "rubbish": b"\x00{\n" + whole, "stale": whole.split(b"\n")[0] + b"\n"}[damage]
        )
    again = EpisodeStore(tmp_path)
    assert {row.id for row in again.find()} == ids
    assert {row.id for row in store.find()} == ids
    again.add(episode(seed=9))
    assert len(store) == len(EpisodeStore(tmp_path)) == 5


def test_a_removed_run_leaves_the_index(tmp_path):
    store = EpisodeStore(tmp_path)
    first, second = store.add(episode(seed=1)), store.add(episode(seed=2))
    for path in store.path(first).iterdir():
        path.unlink()
    (folder := store.path(first)).rmdir()
    assert [row.id for row in EpisodeStore(tmp_path).find()] == [second]
    assert first not in store and not folder.exists()


def test_a_damaged_run_is_named_and_passed_over(tmp_path):
    store = EpisodeStore(tmp_path)
    torn, changed, good = (store.path(store.add(episode(seed=seed))) for seed in range(3))
    (torn / "outcome.json").write_text("")
    text = (changed / "outcome.json").read_text()
    (changed / "outcome.json").write_text(text.replace("1.0", "0.5"))
    with pytest.raises(StoreError, match="remove the folder"):
        store.get(torn.name)
    (tmp_path / INDEX_FILE).unlink()
    again = EpisodeStore(tmp_path)
    assert [row.id for row in again.find()] == [good.name]
    assert set(again.broken) == {torn, changed}
    assert "were changed" in again.broken[changed]


def test_two_writers_see_each_other(tmp_path):
    one, two = EpisodeStore(tmp_path), EpisodeStore(tmp_path)
    first = one.add(episode(seed=1))
    second = two.add(episode(seed=2))
    assert two.add(episode(seed=1)) == first
    assert {row.id for row in one.find()} == {row.id for row in two.find()} == {first, second}
    assert len((tmp_path / INDEX_FILE).read_text().splitlines()) == 2


def test_r27_writers_killed_at_any_moment_leave_whole_runs_alone(tmp_path):
    """Two writers beside each other, ended with SIGKILL again and again."""
    here = str(Path(__file__).parent)
    for turn in range(2):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(turn * 1_000_000), here]
        writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == b"open\n"
        time.sleep(0.05 + 0.1 * turn)
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
            writer.stdout.close()
    store = EpisodeStore(tmp_path)
    rows = store.find()
    assert rows and store.broken == {}
    for row in rows:
        assert store.get(row.id) == episode(task=row.task, seed=row.seed)


def test_drafts_of_dead_writers_are_removed_once_they_are_old(tmp_path):
    store = EpisodeStore(tmp_path)
    folder = store.path(store.add(episode()))
    young, old = folder.with_name(".young.part"), folder.with_name(".old.part")
    for draft in (young, old):
        draft.mkdir()
    os.utime(old, (1.0, 1.0))
    assert len(EpisodeStore(tmp_path)) == 1
    assert young.exists() and not old.exists()


def test_a_draft_that_its_writer_finishes_while_another_opens_the_store(tmp_path, monkeypatch):
    store = EpisodeStore(tmp_path)
    folder = store.path(store.add(episode()))
    draft = folder.with_name(".draft.part")
    os.rename(folder, draft)

    def finished() -> float:
        if draft.exists():
            os.rename(draft, folder)
        return now()

    now = time.time
    monkeypatch.setattr(time, "time", finished)
    assert EpisodeStore(tmp_path).broken == {} and folder.exists()


def test_a_store_that_is_not_there_is_an_error_for_a_reader(tmp_path):
    with pytest.raises(StoreError, match="holds no episodes"):
        EpisodeStore(tmp_path / "none", create=False)
    with pytest.raises(StoreError, match="no run abc"):
        EpisodeStore(tmp_path).get("abc")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_names_of_folders_are_safe_and_never_shared(one, two):
    for name in (folder_name(one), folder_name(two)):
        assert name not in ("", ".", "..") and "/" not in name and "\x00" not in name
        assert len(name.encode()) < 255 and not name.startswith(".")
    assert (folder_name(one) == folder_name(two)) == (one == two)
