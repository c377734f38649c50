"""The page of an RCL run, from a real run in the rule world."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.context.playbook.apply import Change
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.types import Entry, Playbook, Revision, Source
from cleartrace.learn.credit import Credit, Credits, Effect, Method
from cleartrace.learn.protocol import Reflection
from cleartrace.learn.rcl.report.load import load_run
from cleartrace.learn.rcl.report.page import build_page
from cleartrace.learn.rcl.report.story import Fate, stories
from cleartrace.learn.rcl.sampler import Batch
from cleartrace.learn.rcl.state import Edit, IterationLog, Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rcl") / "<i>run"
    arguments = ["--iterations", "5", "--batch-size", "10", "--mini-batch", "4", "--prune-threshold", "1"]
    done = CliRunner().invoke(app, ["optimize", "ruleworld", *arguments, "--output", str(folder)])
    assert done.exit_code == 0, done.output
    return folder


def test_every_entry_that_ever_was_has_a_story_that_begins_with_a_failure(folder: Path) -> None:
    run = load_run(folder)
    told = stories(run.playbook, run.logs, run.reflected)
    added = {id for log in run.logs for change in log.edit.applied for id in change.added}
    assert {story.id for story in told} == added and not run.notes
    assert {story.id for story in told if story.fate is Fate.KEPT} == {entry.id for entry in run.playbook.entries}
    for story in told:
        failures = story.texts[0].failures
        assert failures and all(one.score is not None and one.score < 1 and one.analysis for one in failures)


def test_the_page_is_written_whole_and_escapes_what_models_wrote(folder: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(folder)])
    assert done.exit_code == 0, done.output
    page = (folder / "report.html").read_text()
    entry = json.loads((folder / "playbook.json").read_text())["entries"][0]
    assert entry["text"] in page and "&lt;i&gt;run" in page and "<i>run" not in page
    assert page.count('class="chart"') == 4 and "5 iterations" in page


def test_r30_the_page_says_what_each_role_took(folder: Path) -> None:
    agent, total = load_run(folder).spent
    rows = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    assert (agent.role, agent.calls, total.role, total.calls) == ("agent", len(rows), "total", len(rows))
    page = build_page(folder).read_text()
    assert f"<td>agent</td><td>{agent.calls}</td><td>0</td><td>{agent.input_tokens}</td>" in page


def test_a_torn_iteration_is_a_note_and_not_an_end(folder: Path) -> None:
    path = folder / "iterations" / "0002" / "iteration.json"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:100])
        run = load_run(folder)
        assert len(run.logs) == 4 and "iteration 2 cannot be shown in full" in run.notes[0]
    finally:
        path.write_bytes(whole)


def test_another_history_is_refused(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "playbook.json").write_text("{}")
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 2 and "not the history of an RCL run" in done.output


def log(iteration: int, edit: Edit, runs: tuple[Run, ...] = ()) -> IterationLog:
    return IterationLog(iteration=iteration, batch=Batch(task_ids=()), runs=runs, edit=edit)


def test_a_story_by_hand() -> None:
    source = Source(iteration=1, tasks=("t1",), reason="it failed")
    old = Revision(revision=1, text="Look first.", helpful=2, harmful=1, source=source)
    kept = Entry(
        id="e1", section="s", text="Look twice.", revision=2, helpful=3, history=(old,),
        source=Source(iteration=2, tasks=("t2",)),
    )  # fmt: skip
    pruned = Entry(id="e2", section="s", text="Guess.", harmful=4, source=source)
    deleted = Entry(id="e3", section="s", text="Hurry.", source=source)
    runs = tuple(
        Run(task="t1", seed=n, kind=kind, score=score, episode=f"r{n}")
        for n, (kind, score) in enumerate([("clean", 0.5), ("clean", 0.0), ("probe", 0.0)])
    )
    change = Change(operation=Operation(op=Op.DELETE, entry_ids=("e3",)), removed=(deleted,))
    elsewhere = Entry(id="e4", section="s", text="Wait.", source=source)
    logs = [log(1, Edit(), runs), log(2, Edit(pruned=(pruned,))), log(3, Edit(applied=(change,)))]
    logs.append(log(4, Edit(switched=(elsewhere,))))
    said = {1: (Reflection(task_ids=("t1",), episodes=("r1",), analysis="It did not look."),)}
    effect = Effect(mean=0.2, low=0.1, high=0.3, n=50)
    credits = Credits(credits=tuple(
        Credit(entry_id="e1", revision=revision, method=Method.DROPOUT, effect=effect) for revision in (1, 2)
    )[:2])  # fmt: skip
    one, two, three, four = stories(Playbook(entries=(kept,)), logs, said, credits)
    assert (one.fate, one.helpful, one.harmful, one.effect) == (Fate.KEPT, 5, 1, effect)
    assert [(text.iteration, text.text) for text in one.texts] == [(1, "Look first."), (2, "Look twice.")]
    [failure] = one.texts[0].failures
    assert (failure.task, failure.score, failure.episode, failure.analysis) == ("t1", 0.0, "r1", "It did not look.")
    assert one.texts[1].failures[0].score is None
    assert (two.id, two.fate, two.until) == ("e2", Fate.PRUNED, 2)
    assert (three.id, three.fate, three.until) == ("e3", Fate.EDITED_AWAY, 3)
    assert (four.id, four.fate, four.until) == ("e4", Fate.SWITCHED, 4)
    former = Credits(credits=(Credit(entry_id="e1", revision=1, method=Method.DROPOUT, effect=effect),))
    assert stories(Playbook(entries=(kept,)), logs, said, former)[0].effect is None, "it is of another text"
