"""A run in files: exact, whole, continued (A19, R3, R27)."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import signal
import time
from pathlib import Path

import pytest

from cleartrace.environments.ruleworld import RuleWorld
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Task
from cleartrace.learn.protocol import Refusal
from cleartrace.learn.rcl.config import RclConfig
from cleartrace.learn.rcl.files import to_json
from cleartrace.learn.rcl.journal import FileJournal
from cleartrace.learn.rcl.loop import SettingsError, Stop, optimize
from cleartrace.learn.rcl.parts import Parts
from cleartrace.learn.rcl.report.load import load_run
from cleartrace.learn.rcl.rundir import RunDirectory, RunDirectoryError, read_history
from cleartrace.learn.rcl.simulated import simulated_parts
from cleartrace.learn.rcl.state import Row
from cleartrace.llm.protocol import BudgetExhausted, Unreachable
from tests.learn.rcl.toy import Mutator, Reflector, parts

EVERYTHING = {
    "iterations": 6,
    "batch_size": 4,
    "mini_batch": 2,
    "group_size": 3,
    "dual_trace": True,
    "auxiliary_losses": True,
    "failure_replay_ratio": 0.5,
    "use_optimization_state": True,
    "prune_threshold": 3,
    "val_interval": 2,
}


def simulated(seed: int, config: RclConfig, store: EpisodeStore | None = None) -> Parts:
    world = RuleWorld(seed, options={"scenarios": (4, 1, 1), "rules": 8, "tasks_each": 3})
    return simulated_parts(world, config, validation=world.tasks("val"), store=store)


def learn(folder: Path, resume: bool = False, allow_change: bool = False, made=None, **changes):
    config = RclConfig.model_validate({**EVERYTHING, **changes})
    made = made or simulated(3, config, EpisodeStore(folder / "episodes"))
    with RunDirectory(folder, resume=resume) as store:
        return asyncio.run(optimize(config, made, store=store, allow_change=allow_change))


def outcome(folder: Path) -> tuple[bytes, bytes, bytes]:
    return tuple((folder / name).read_bytes() for name in ("playbook.json", "history.jsonl", "state.json"))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    learn(folder)
    return folder


def test_r3_two_and_four_iterations_are_six(unbroken, tmp_path):
    learn(tmp_path, iterations=2)
    assert len(read_history(tmp_path)) == 2
    learn(tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(unbroken)


def test_r3_a_single_pass_goes_on_where_it_stood(tmp_path):
    values = {"batch_size": 5, "failure_replay_ratio": 0.0, "single_pass": True, "iterations": 10}
    learn(tmp_path / "a", **values)
    stopped = simulated(3, RclConfig.model_validate({**EVERYTHING, **values}))
    begun = []

    def guard() -> None:
        begun.append(1)
        if len(begun) > 7:
            raise BudgetExhausted("enough")

    with RunDirectory(tmp_path / "b") as store:
        done = asyncio.run(
            optimize(RclConfig.model_validate({**EVERYTHING, **values}), stopped, store=store, guard=guard)
        )
    assert done.stop is Stop.BUDGET and 0 < done.state.iteration < 3
    learn(tmp_path / "b", resume=True, **values)
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b")


def killed(folder: Path, after_s: float) -> bool:
    """A run in a process of its own, and SIGKILL so many seconds later. False where it was done by then."""
    resume = (folder / "state.json").exists()
    child = multiprocessing.get_context("fork").Process(target=learn, args=(folder, resume))
    child.start()
    child.join(after_s)
    child.kill()
    child.join()
    return child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("point", range(5))
def test_a19_a_killed_run_goes_on_to_the_same_bytes(unbroken, tmp_path, point):
    """At random moments, twice in a run. The full twenty points: benchmarks/rcl_resume.py."""
    draw = random.Random(f"kill:{point}")
    after_s, attempt = draw.uniform(0.01, 0.4), 0
    while not killed(folder := tmp_path / str(attempt), after_s):
        after_s, attempt = after_s / 2, attempt + 1
    killed(folder, draw.uniform(0.01, 0.2))
    learn(folder, resume=(folder / "state.json").exists())
    assert outcome(folder) == outcome(unbroken)


def test_a19_what_was_paid_for_in_a_broken_iteration_is_not_paid_again(tmp_path):
    """The mutator's endpoint fails; after it is back, no reflection is asked for again and no run made again."""

    class Down(Mutator):
        async def propose(self, *args, **kwargs):
            raise Unreachable("down")

    config = {
        "iterations": 1,
        "batch_size": 4,
        "mini_batch": 3,
        "group_size": 1,
        "dual_trace": False,
        "val_interval": 1,
    }
    config |= {"auxiliary_losses": False, "use_optimization_state": False}
    first, second = Reflector(), Reflector()
    broken = learn(tmp_path, made=parts(reflector=first, mutator=Down()), **config)
    assert broken.stop is Stop.MODEL_FAILED and len(first.calls) == 3
    done = learn(tmp_path, resume=True, made=parts(reflector=second), **config)
    assert done.stop is Stop.FINISHED and second.calls == [] and len(done.playbook) == 3


def test_a20_a_second_identical_run_makes_no_agent_call(tmp_path):
    config = RclConfig.model_validate(EVERYTHING)
    store = EpisodeStore(tmp_path / "shared")
    asyncio.run(optimize(config, simulated(3, config, store)))
    made = simulated(3, config, store)
    agent, calls = made.runner.agent, []  # type: ignore[attr-defined]
    run = agent.run

    async def counted(task: Task, *more):
        calls.append(task.id)
        return await run(task, *more)

    agent.run = counted
    asyncio.run(optimize(config, made))
    assert calls == []


def test_resume_refuses_other_settings_unless_allowed(tmp_path):
    learn(tmp_path, iterations=2)
    with pytest.raises(SettingsError, match="begun with other settings"):
        learn(tmp_path, resume=True, mini_batch=1)
    config = RclConfig.model_validate({**EVERYTHING, "iterations": 2})
    other = simulated(4, config, EpisodeStore(tmp_path / "episodes"))
    with pytest.raises(SettingsError, match="other tasks, agent or models"):
        learn(tmp_path, resume=True, made=other, iterations=2)
    done = learn(tmp_path, resume=True, allow_change=True, mini_batch=1, iterations=3)
    assert done.state.iteration == 3


def test_a_folder_is_one_run_of_one_process(tmp_path):
    with pytest.raises(RunDirectoryError, match="no run to go on with"):
        RunDirectory(tmp_path, resume=True)
    with RunDirectory(tmp_path), pytest.raises(RunDirectoryError, match="another process is writing"):
        RunDirectory(tmp_path)
    learn(tmp_path, iterations=2)
    with pytest.raises(RunDirectoryError, match="holds a run"):
        RunDirectory(tmp_path)


def test_r27_a_row_that_was_not_committed_is_dropped(unbroken, tmp_path):
    learn(tmp_path, iterations=3)
    with (tmp_path / "history.jsonl").open("ab") as file:
        file.write(b'{"iteration": 4, "tra')
    learn(tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(unbroken)


def test_rows_name_their_schema_and_a_run_from_before_that_goes_on(unbroken, tmp_path):
    rows = read_history(unbroken)
    assert [next(iter(row.items())) for row in rows] == [("schema_version", 1)] * 6
    learn(tmp_path, iterations=3)
    old = [{name: value for name, value in row.items() if name != "schema_version"} for row in rows[:3]]
    (tmp_path / "history.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in old))
    learn(tmp_path, resume=True)
    assert read_history(tmp_path) == [*old, *rows[3:]] and len(load_run(tmp_path).rows) == 6


def test_damaged_files_are_named(tmp_path):
    learn(tmp_path, iterations=2)
    (tmp_path / "history.jsonl").write_bytes(b"")
    with pytest.raises(RunDirectoryError, match="has lost rows: 0 of 2"):
        learn(tmp_path, resume=True)
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(RunDirectoryError, match="cannot be read"):
        learn(tmp_path, resume=True)


def test_what_an_iteration_leaves(unbroken):
    folder = unbroken / "iterations" / "0001"
    record = json.loads((folder / "iteration.json").read_text())
    assert {run["kind"] for run in record["runs"]} == {"clean", "probe"} and record["validation"]
    store = EpisodeStore(unbroken / "episodes")
    assert all(run["episode"] in store for run in record["runs"])
    reflections = [json.loads(path.read_text()) for path in (folder / "reflections").iterdir()]
    assert len(reflections) == len(record["reflected"])
    findings = [one for entry in reflections for one in entry["result"]["reflections"]]
    assert all(one["failure_type"] for one in findings)
    memory = json.loads((folder / "memory.json").read_text())["result"]["state"]
    assert [row["iteration"] for row in memory["change_ledger"]] == [1]
    assert json.loads((unbroken / "result.json").read_text())["stop"] == "finished"


def test_r18_copies_of_the_playbook_come_as_often_as_asked(tmp_path):
    config = RclConfig(iterations=5, checkpoint_interval=2)
    with RunDirectory(tmp_path, checkpoint_interval=config.checkpoint_interval) as store:
        asyncio.run(optimize(config, parts(), store=store))
    assert [path.parent.name for path in sorted(tmp_path.glob("iterations/*/playbook.json"))] == ["0002", "0004"]


def test_no_time_and_no_cost_is_in_the_history(unbroken):
    assert not [name for name in read_history(unbroken)[0] if "second" in name or "cost" in name]


def test_half_characters_of_a_model_reach_the_disk_and_come_back(tmp_path):
    made = Refusal(proposed={"text": "a\ud83d"}, reason="half \ud83d")

    async def make() -> Refusal:
        return made

    async def never() -> Refusal:
        raise AssertionError("it was there")

    journal = FileJournal(tmp_path)
    assert asyncio.run(journal.once("x/täsk: 1", Refusal, lambda: 1, make)) == made
    assert asyncio.run(journal.once("x/täsk: 1", Refusal, lambda: 1, never)) == made
    with pytest.raises(AssertionError):
        asyncio.run(journal.once("x/täsk: 1", Refusal, lambda: 2, never))
    assert "\\ud83d" in to_json(made)


def test_names_in_a_journal_never_leave_its_folder(tmp_path):
    async def make() -> Row:
        return Row(iteration=1)

    for name in ("reflections/../../up", "reflections//etc/x", "../up", "/", "reflections/" + "x" * 300, "a/b/c"):
        asyncio.run(FileJournal(tmp_path / "in").once(name, Row, lambda: 1, make))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 6 and all(tmp_path / "in" in path.parents for path in files)


def test_the_loop_itself_takes_a_few_milliseconds_an_iteration():
    config = RclConfig(iterations=30, batch_size=10, mini_batch=3)
    took = []
    for _ in range(3):
        made = simulated_parts(RuleWorld(seed=1), config)
        began = time.process_time()
        asyncio.run(optimize(config, made))
        took.append((time.process_time() - began) / 30)
    assert min(took) < 0.02
