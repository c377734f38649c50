"""The reading agent states what files show, and nothing else."""

from __future__ import annotations

import asyncio
import json

import pytest

from cleartrace.agents.tool_loop import ToolLoopAgent
from cleartrace.environments.inprocess import InProcess
from cleartrace.environments.ruleworld import rules_in
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Context, Episode, Outcome, Step, StepKind, Task, Trajectory
from cleartrace.learn.clear.reflection import ReflectionEnvironment
from cleartrace.learn.clear.subsets import subsets
from recipe.clear.reader import Run, guidance, read_run, reader

ORDER = """Order 1 of Alder:
1. marked KITE, 63 kg
2. marked YAK, 20 kg, cancelled
3. marked LARK, 31 kg
4. mark torn off, 50 kg
Which desk does each item go to? Leave out cancelled items."""
ITEMS = (("KITE", 63), ("LARK", 31), ("", 50))


def run(answer: str, **wrong: str) -> Run:
    return Run(ITEMS, tuple(answer.split()), {int(place[1:]): desk for place, desk in wrong.items()})


def stated(*runs: Run) -> list[tuple[str, int, str]]:
    return [(rule.mark, rule.above, rule.desk) for rule in rules_in(guidance(runs))]


def test_an_attempt_is_read_from_its_files():
    lines = [{"output": "D0, D4, D0"}, {"kind": "input", "text": ORDER}, {"kind": "message", "text": "D0, D4, D0"}]
    text = "\n".join(map(json.dumps, lines))
    assert read_run(text, "item 1 belongs to D7; item 3 belongs to D2") == run("D0 D4 D0", _0="D7", _2="D2")


@pytest.mark.parametrize(
    ("runs", "rules"),
    [
        ([run("D7 D0 D0")], [("KITE", 60, "D7")]),
        ([run("D0 D0 D0", _0="D7")], [("KITE", 60, "D7")]),
        ([run("D7 D4 D0"), run("D0 D4 D0", _0="D7")], [("KITE", 60, "D7"), ("LARK", 30, "D4")]),
        ([run("D0 D0 D0")], []),
        ([run("nonsense")], []),
        ([run("D0 D0 D0", _2="D5")], []),
    ],
    ids=["passed", "failed", "contrast", "nothing to state", "no answer", "a mark that cannot be read"],
)
def test_rules_are_stated_for_items_that_go_elsewhere(runs, rules):
    assert stated(*runs) == rules


def test_contrast_tells_a_slip_from_a_gap():
    slip = run("D0 D3 D0", _1="D0")
    assert stated(slip) == [("LARK", 30, "D0")], "one attempt alone cannot tell"
    assert stated(slip, run("D0 D0 D0")) == []
    assert stated(slip, slip) == [("LARK", 30, "D0")]


def test_a_weight_is_stated_as_a_round_number_below_it():
    for weight, above in ((61, 60), (60, 50), (5, 0), (99, 90)):
        assert stated(Run((("KITE", weight),), ("D7",), {})) == [("KITE", above, "D7")]


@pytest.mark.parametrize("desk", ["D7", "D2"])
def test_the_agent_reads_with_the_shell_and_submits_what_stood_there(tmp_path, desk):
    """The desk is in the files alone: whatever world there is, nothing else could tell it."""
    store = EpisodeStore(tmp_path / "store")
    task = Task(environment="ruleworld", id="alder-1", input=ORDER, group="alder")
    for seed in range(3):
        steps = (Step(kind=StepKind.INPUT, name="user", text=ORDER),)
        trajectory = Trajectory(
            environment="ruleworld", task_id=task.id, agent="a", seed=seed, steps=steps, output="D0, D0, D0"
        )
        store.add(Episode(trajectory=trajectory, outcome=Outcome(score=0.0, feedback=f"item 1 belongs to {desk}")))
    environment = ReflectionEnvironment(store, subsets(store, [task], n=3, k=3))
    agent = ToolLoopAgent(reader(), InProcess(environment))
    episode = asyncio.run(agent.run(environment.tasks()[0], Context(), 0))
    assert (
        episode.outcome.details["guidance"] == f"An item marked KITE that weighs more than 60 kg goes to desk {desk}."
    )
    assert [call["line"] for call in episode.outcome.details["shell"]] == [
        "ls", "cat outcomes.json", *(f"cat run-{n}/trajectory.jsonl" for n in (1, 2, 3)),
    ]  # fmt: skip
