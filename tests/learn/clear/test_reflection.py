"""A reflection agent's session: what it can read, what it may submit, what is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleartrace.environments.protocol import Action, CallResult
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Episode, FailureKind, Outcome, Step, StepKind, Task, Trajectory
from cleartrace.learn.clear.reflection import ReflectionEnvironment, ReflectionRules, ReflectionSession
from cleartrace.learn.clear.subsets import subsets
from cleartrace.learn.shell import Limits
from cleartrace.llm.protocol import ToolCall

TASK = Task(environment="world", id="pay", input="Pay Ada what she is owed.", group="payments")
SUBMITTED = {"guidance": " Look up who is owed. ", "evidence": ["run-1/view.md, step 1"]}
FEEDBACK = "canary: the payment went to Bob"


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    store = EpisodeStore(tmp_path / "store")
    for seed, score in enumerate([1.0, 0.0, 0.0]):
        steps = (Step(kind=StepKind.CALL, name="pay", arguments={"to": "Ada" if score else "Bob"}),)
        run = Trajectory(environment="world", task_id="pay", agent="a", seed=seed, steps=steps)
        store.add(Episode(trajectory=run, outcome=Outcome(score=score, feedback="" if score else FEEDBACK)))
    return store


def session(store: EpisodeStore, **settings: object) -> ReflectionSession:
    sets = subsets(store, [TASK], n=3, k=2)
    rules = ReflectionRules(**{k: v for k, v in settings.items() if k in ReflectionRules.model_fields})
    environment = ReflectionEnvironment(store, sets, rules, Limits(calls=5))
    return environment.session(sets[0].id, 0)


def call(opened: ReflectionSession, name: str, **arguments: object) -> CallResult:
    action = Action(calls=(ToolCall(id="1", name=name, arguments=arguments),))
    return opened.act(action).results[0]


def test_the_agent_reads_its_runs_and_no_other(store: EpisodeStore) -> None:
    opened = session(store)
    start = opened.start()
    assert "Pay Ada" in start.text and "run-1, run-2" in start.text and "at most 150 words" in start.system.lower()
    assert call(opened, "shell", command="ls").text == "outcomes.json\nrun-1/\nrun-2/"
    assert "Ada" in call(opened, "shell", command="grep -r -n Ada .").text
    assert FEEDBACK in call(opened, "shell", command="cat outcomes.json").text
    assert "refused" in call(opened, "shell", command="cat ../store/index.jsonl").text
    opened.close()
    opened.close()


def test_outcomes_can_be_withheld(store: EpisodeStore) -> None:
    opened = session(store, outcomes=False)
    assert "outcomes.json" not in opened.start().system
    replies = [call(opened, "shell", command=line).text for line in ("ls -R", "grep -r canary .", "grep -r score .")]
    assert "outcomes" not in replies[0] and replies[1:] == ["(no match)"] * 2
    opened.close()


def test_guidance_ends_the_work_and_is_the_outcome(store: EpisodeStore) -> None:
    opened = session(store)
    opened.start()
    call(opened, "shell", command="ls")
    done = opened.act(Action(calls=(ToolCall(id="1", name="submit", arguments=SUBMITTED),)))
    assert done.done and done.results[0].text == "accepted" and not done.results[0].is_error
    outcome = opened.outcome()
    assert outcome.details["evidence"] == ["run-1/view.md, step 1"]
    assert outcome.score == 1.0 and outcome.details["guidance"] == "Look up who is owed."
    assert [entry["line"] for entry in outcome.details["shell"]] == ["ls"] and outcome.details["bytes_read"] > 0
    assert call(opened, "submit", guidance="again").is_error
    opened.close()


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("submit", {"guidance": "word " * 151}, "151 words; at most 150"),
        ("submit", {"guidance": None}, "must be a string"),
        ("submit", {}, "must be a string"),
        ("submit", {"guidance": "Pay as in run-2."}, "say it without 'run-2'"),
        ("shell", {"command": ["ls"]}, "as a string"),
        ("python", {"code": "1"}, "there is no tool python"),
    ],
)
def test_what_cannot_be_used_is_said_and_the_work_goes_on(
    store: EpisodeStore, name: str, arguments: dict, words: str
) -> None:
    opened = session(store)
    opened.start()
    result = call(opened, name, **arguments)
    assert result.is_error and words in result.text
    assert "submit" in opened.act(Action(text="I am done.")).text
    outcome = opened.outcome()
    assert outcome.score == 0.0 and outcome.failure is not None and outcome.failure.kind is FailureKind.FORMAT
    assert not call(opened, "submit", guidance="").is_error and opened.outcome().details["guidance"] == ""
    opened.close()


def test_nothing_is_left_behind(store: EpisodeStore, tmp_path: Path) -> None:
    sets = subsets(store, [TASK], n=3, k=2)
    opened = ReflectionEnvironment(store, sets, scratch=tmp_path).session(sets[0].id, 0)
    opened.start()
    assert len(list(tmp_path.glob("episodes-*"))) == 1
    opened.close()
    assert not list(tmp_path.glob("episodes-*"))


def test_other_rules_are_another_environment(store: EpisodeStore) -> None:
    sets = subsets(store, [TASK], n=3, k=2)
    versions = [
        ReflectionEnvironment(store, sets).version,
        ReflectionEnvironment(store, sets, ReflectionRules(max_words=80)).version,
        ReflectionEnvironment(store, sets, limits=Limits(calls=9)).version,
    ]
    assert len(set(versions)) == 3
