"""Runs to contrast: made or imported; and what the commands say when a stage is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Task
from cleartrace.learn.clear.collect import CollectPlan, outcomes, spread
from cleartrace.learn.clear.gold import leaves, tells
from cleartrace.learn.clear.project import Project, ProjectError
from tests.learn.clear.served import WORLD, call

SIMULATED = ["collect", "ruleworld", *WORLD]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    call(*SIMULATED, "--out", tmp_path, "--limit", "4", "--runs", "2")
    return tmp_path


def test_every_task_is_run_under_the_same_seeds_and_more_can_be_added(project: Path) -> None:
    def seeds() -> set[tuple[int, ...]]:
        store = EpisodeStore(project / "episodes")
        return {
            tuple(row.seed for row in store.find(environment=key.environment, task=key.id)) for key in store.tasks()
        }

    assert seeds() == {tuple(sorted(CollectPlan(runs=2).seeds))}
    said = call(*SIMULATED, "--out", project, "--limit", "6", "--runs", "3")
    assert "18/18 8 kept" in said and seeds() == {tuple(sorted(CollectPlan(runs=3).seeds))}
    assert len(Project(project).tasks()) == 6 and len(Project(project).gold()) == 6
    assert [len(one.scores) for one in outcomes(Project(project))] == [3] * 6


def test_a_folder_holds_the_runs_of_one_agent_under_one_context(project: Path, tmp_path: Path) -> None:
    words = tmp_path / "advice.txt"
    words.write_text("Weigh twice.")
    said = call(*SIMULATED, "--out", project, "--context", f"static:{words}", status=2)
    assert "context: 'none' there" in said and "another folder" in said
    assert "cap: None there, 9 now" in call(*SIMULATED, "--out", project, "--cap", "9", status=2)


def test_a_budget_holds_over_all_starts(tmp_path: Path) -> None:
    for _ in range(2):
        said = call(*SIMULATED, "--out", tmp_path, "--runs", "2", "--max-calls", "5", status=3)
        assert "calls of all roles: 5 of 5" in " ".join(said.split())
        assert sum(len(one.scores) for one in outcomes(Project(tmp_path))) == 5


def test_a_limit_takes_the_scenarios_in_turn() -> None:
    tasks = [Task(environment="w", id=f"{group}{n}", input="x", group=group) for group in "ab" for n in range(3)]
    assert [task.id for task in spread(tasks, 3)] == ["a0", "a1", "b0"]
    assert spread(tasks, None) == tasks == spread(tasks, 9)


def test_gold_is_read_out_of_actions() -> None:
    assert list(leaves({"a": [{"b": "x"}, 2], "c": None, "d": False})) == ["x", "2"]
    assert not tells("open door to north") and not tells("look around") and tells("KX-2291") and tells("Lisbon")


def test_each_stage_says_what_is_missing(project: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for verb in (["show"], ["split"], ["export"], ["reflect"]):
        more = {"export": ["--to", "chat"], "reflect": ["--model", "openai/x@http://127.0.0.1:9/v1"]}.get(verb[0], [])
        assert "cleartrace clear collect ENV --out DIR" in call(*verb, nowhere, *more, status=2)
        assert not nowhere.exists(), verb
    for verb in (["split"], ["export", "--to", "chat"]):
        said = call(verb[0], project, *verb[1:], status=2)
        assert f"cleartrace clear reflect {project} --model SPEC" in " ".join(said.split())
    shown = call("show", project)
    assert shown.count("nothing yet") == 3 and "8 runs on 4 tasks" in shown
    assert "give --model" in call("reflect", project, status=2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-k", "3", "-n", "2"], "k = 3 runs cannot be drawn from n = 2"),
        (["-k", "1", "--keep", "contrastive"], "would drop all sets"),
        (["--keep", "some"], "keep: Input should be"),
        (["--max-cost", "1"], "no effect without prices"),
        (["-k", "5"], "at most 2 scored runs each, k = 5"),
        (["--name", "episodes"], "cannot be called 'episodes'"),
        (["-k", "2", "--model", "nobody/x"], "unknown provider 'nobody'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(project: Path, words: list[str], message: str) -> None:
    given = words if "--model" in words else [*words, "--model", "openai/x@http://127.0.0.1:9/v1"]
    assert message in " ".join(call("reflect", project, *given, status=2).split())


def replay(folder: Path) -> Path:
    """The layout of the published replay folders, with one log of messages for each task."""
    path = folder / "training_data" / "appworld" / "replay"
    for number in range(3):
        for task in ("ab12_1", "ab12_2", "cd34_1"):
            (path / f"appworld_train_run{number}" / task).mkdir(parents=True)
            turns = [
                ("system", "You use apps."),
                ("user", f"Task {task}: pay."),
                ("assistant", f"paid in run {number}"),
            ]
            log = {"messages": [{"role": role, "content": text} for role, text in turns], "score": float(number == 1)}
            (path / f"appworld_train_run{number}" / task / "log.json").write_text(json.dumps(log))
    return path


def test_published_replay_folders_become_a_project(tmp_path: Path) -> None:
    out = tmp_path / "project"
    said = call("import", replay(tmp_path), "--out", out, "--scenario", r"^(\w+)_\d+$")
    assert "9 runs added" in said and "3 contrastive" in said
    tasks = Project(out).tasks()
    assert [(task.id, task.group, task.input) for task in tasks] == [
        ("ab12_1", "ab12", "Task ab12_1: pay."), ("ab12_2", "ab12", "Task ab12_2: pay."),
        ("cd34_1", "cd34", "Task cd34_1: pay."),
    ]  # fmt: skip
    assert {task.environment for task in tasks} == {"appworld"} and Project(out).collected().runs == 3
    again = ["import", tmp_path / "training_data" / "appworld" / "replay", "--out", out]
    assert "0 runs added, 9 known before" in call(*again, "--scenario", r"^(\w+)_\d+$")
    assert "scenario: " in call(*again, status=2), "scenarios do not change below rows"


def test_tasks_may_come_from_a_file(tmp_path: Path) -> None:
    given = tmp_path / "tasks.jsonl"
    given.write_text(json.dumps({"id": "ab12_1", "input": "Pay Ada.", "group": "g"}) + "\n")
    out = tmp_path / "project"
    words = ["import", replay(tmp_path), "--out", out, "--tasks", given]
    call(*words)
    assert [(task.input, task.group) for task in Project(out).tasks()][0] == ("Pay Ada.", "g")
    given.write_text('{"id": 3}\n')
    assert 'texts under "id" and "input"' in call(*words, status=2)


def test_a_project_is_used_by_one_process_at_a_time(project: Path) -> None:
    with Project(project).locked(), pytest.raises(ProjectError, match="another process"), Project(project).locked():
        raise AssertionError("it is locked")
