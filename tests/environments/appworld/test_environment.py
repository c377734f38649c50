"""The AppWorld adapter against recorded exchanges in the package's formats (A31)."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from cleartrace.environments.appworld import AppWorld, environment
from cleartrace.environments.appworld.report import outcome as read_report
from cleartrace.environments.protocol import Action, EnvironmentFault, Observation
from cleartrace.environments.registry import MissingPackage
from cleartrace.episodes.types import Episode, FailureKind, Outcome, Trajectory
from cleartrace.evaluate.context.arm import Arm, Asked, Manifest
from cleartrace.evaluate.context.metrics import summarise
from cleartrace.llm.protocol import ToolCall
from tests.environments.appworld.stand_in import CANARY, SOLVE, write

SIX = {f"{scenario}_{number}": "test_normal" for scenario in ("aa", "bb") for number in (1, 2, 3)}


def code(*texts: str) -> Action:
    return Action(
        calls=tuple(ToolCall(id=str(n), name="execute", arguments={"code": text}) for n, text in enumerate(texts))
    )


def world(tmp_path: Path, tasks: dict[str, str] | None = None, **options: object) -> AppWorld:
    root, python = write(tmp_path, tasks or {"aa_1": "train"})
    return AppWorld(root=str(root), python=str(python), **options)  # type: ignore[arg-type]


def log(env: AppWorld) -> list[str]:
    path = env.root / "log.txt"
    return path.read_text().splitlines() if path.exists() else []


def test_tasks_come_from_the_data_with_their_scenarios(tmp_path: Path) -> None:
    env = world(tmp_path, SIX | {"cc_1": "train"})
    assert [task.id for task in env.tasks("train")] == ["cc_1"] and len(env.tasks()) == 7
    first = env.tasks("test_normal")[0]
    assert (first.id, first.group, first.input) == ("aa_1", "aa", "Write note aa_1.")
    assert log(env) == [] and env.version == "0.1.3.post1"
    with pytest.raises(ValueError, match="no task 'zz_1'"):
        env.session("zz_1", 0)


def test_no_key_is_where_agents_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    env = world(tmp_path)
    env.session("aa_1", 0).start()
    env.close()
    variables = set((env.root / "variables.txt").read_text().split())
    assert variables >= {"PATH", "APPWORLD_ROOT"} and "OPENAI_API_KEY" not in variables


def test_gold_passes_and_an_empty_agent_does_not(tmp_path: Path) -> None:
    env = world(tmp_path, raise_on_failure=False)
    session = env.session("aa_1", 0)
    first = session.start()
    assert "Ada Byron" in first.text and first.text.endswith("Task: Write note aa_1.")
    assert session.outcome().score == 0.0
    for action in env.gold("aa_1", 0) or []:
        last = session.act(action)
    assert last.done and session.outcome().passed
    env.close()


def test_r23_one_world_for_a_task_and_every_world_closed(tmp_path: Path) -> None:
    env = world(tmp_path, {"aa_1": "train", "aa_2": "train"})
    for task in ("aa_1", "aa_2"):
        session = env.session(task, 0)
        session.start()
        session.act(code("print(1)"))
        session.outcome()
        session.close()
        session.close()
    env.close()
    kinds = [line.split()[0] for line in log(env)]
    assert kinds == ["built", "closed", "built", "closed"]
    assert len({line.split()[2] for line in log(env) if line.startswith("built")}) == 1  # one process for both
    assert list((env.root / "experiments" / "outputs").iterdir()) == []


def test_a_newer_session_ends_the_older_one(tmp_path: Path) -> None:
    env = world(tmp_path, {"aa_1": "train", "aa_2": "train"})
    older, newer = env.session("aa_1", 0), env.session("aa_2", 0)
    older.start()
    newer.start()
    with pytest.raises(EnvironmentFault, match="not open"):
        older.act(code("print(1)"))
    assert newer.act(code("print(1)")).results[0].text == "1\n"
    env.close()


def test_errors_of_the_agents_code_are_told_and_it_goes_on(tmp_path: Path) -> None:
    env = world(tmp_path, output_chars=100)
    session = env.session("aa_1", 0)
    session.start()
    for wrong in ("1/0", "loop()"):
        result = session.act(code(wrong)).results[0]
        assert result.is_error and result.text.startswith("Execution failed.")
    assert session.act(code("long()")).results[0].text == "x" * 100 + "\n[400 more characters were cut]"
    assert session.act(code("half()")).results[0].text == "\ufffd"
    bad = (ToolCall(id="a", name="run", arguments={"code": "1"}), ToolCall(id="b", name="execute", arguments=None))
    assert all(result.is_error for result in session.act(Action(calls=bad)).results)
    three = session.act(code("print(1)", SOLVE, "print(1)"))
    assert [result.is_error for result in three.results] == [False, False, True] and three.done
    assert session.outcome().passed
    env.close()


def test_a_message_without_a_call_ends_the_task(tmp_path: Path) -> None:
    env = world(tmp_path)
    session = env.session("aa_1", 0)
    session.start()
    session.act(code("print(1)"))
    assert session.act(Action(text="Done.")).done
    outcome = session.outcome()
    assert outcome.score == 0.5 and "never called" in outcome.feedback and outcome.failure is None
    env.close()


def test_a4_the_test_report_is_in_the_outcome_alone(tmp_path: Path) -> None:
    env = world(tmp_path)
    session = env.session("aa_1", 0)
    seen: list[Observation] = [session.start(), session.act(code("print(1)"))]
    assert CANARY in session.outcome().feedback
    seen.append(session.act(code("1/0")))
    assert not any(CANARY in observation.model_dump_json() for observation in seen)
    assert not any(CANARY in task.model_dump_json() for task in env.tasks())
    env.close()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "GRACE_S", 0.3)


def test_a31_code_that_cannot_be_stopped_counts_against_the_agent(tmp_path: Path, short: None) -> None:
    env = world(tmp_path, execute_s=0.2)
    session = env.session("aa_1", 0)
    session.start()
    began = time.monotonic()
    observation = session.act(code("hang()", "print(1)"))
    assert time.monotonic() - began < 5 and observation.done  # R22
    outcome = session.outcome()
    assert outcome.score == 0.0 and outcome.failure is not None and outcome.failure.kind is FailureKind.TIME_LIMIT
    session.close()
    again = env.session("aa_1", 1)
    again.start()
    assert again.act(code("print(1)")).results[0].text == "1\n"
    env.close()


@pytest.mark.parametrize(
    ("text", "words"), [("lose the database", "closed database"), ("end the process", "its process ended in `execute`")]
)
def test_a31_what_the_package_does_wrong_is_nobodys_score(tmp_path: Path, text: str, words: str) -> None:
    env = world(tmp_path)
    session = env.session("aa_1", 0)
    session.start()
    with pytest.raises(EnvironmentFault, match=words):
        session.act(code(text))
    session.close()
    again = env.session("aa_1", 0)
    assert again.start().tools
    env.close()


def test_a_world_that_cannot_be_built_says_why(tmp_path: Path) -> None:
    root, python = write(tmp_path, {"aa_1": "dev"}, {"aa_1": {"broken": "The database version is not compatible."}})
    env = AppWorld(root=str(root), python=str(python))
    with pytest.raises(EnvironmentFault, match="database version is not compatible"):
        env.session("aa_1", 0).start()
    env.close()


def test_missing_data_and_a_missing_interpreter_are_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="appworld download data"):
        AppWorld(root=str(tmp_path), python="python")
    root, _ = write(tmp_path, {"aa_1": "train"})
    with pytest.raises(EnvironmentFault, match="does not start"):
        AppWorld(root=str(root), python="/no/python")
    with pytest.raises(MissingPackage, match="No module named 'appworld'"):
        AppWorld(root=str(root), python=sys.executable)


def test_close_from_beside_ends_a_session_at_work(tmp_path: Path) -> None:
    env = world(tmp_path)
    session = env.session("aa_1", 0)
    session.start()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            session.act(code("hang()"))
        except EnvironmentFault as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not env._process.busy:
        time.sleep(0.01)
    session.close()
    thread.join(5)
    assert not thread.is_alive() and raised and not env._process.alive


def test_the_end_of_its_input_ends_the_process_in_the_middle_of_code(tmp_path: Path) -> None:
    env = world(tmp_path)
    env.session("aa_1", 0).start()
    process = env._process
    assert process._process.stdin is not None
    process._process.stdin.write('{"call": "execute", "code": "hang()"}\n')
    process._process.stdin.close()
    assert process._process.wait(5) == 1
    process.kill()


def run(env: AppWorld, task: str, text: str) -> Outcome:
    session = env.session(task, 0)
    session.start()
    session.act(code(text))
    try:
        return session.outcome()
    finally:
        session.close()


def test_r2_a_timeout_stays_in_both_completion_rates(tmp_path: Path, short: None) -> None:
    env = world(tmp_path, SIX, execute_s=0.2)
    outcomes = {task.id: run(env, task.id, "hang()" if task.id == "bb_2" else SOLVE) for task in env.tasks()}
    env.close()
    asked = tuple(Asked.of(task) for task in env.tasks())
    facts = {"environment": "appworld", "split": "test_normal", "agent": "a", "context": "none", "context_hash": ""}
    episodes = [
        Episode(trajectory=Trajectory(environment="appworld", task_id=task, agent="a"), outcome=outcome)
        for task, outcome in outcomes.items()
    ]
    figures = summarise(Arm.of("arm", Manifest(tasks=asked, seeds=(0,), **facts), episodes))
    assert figures.tgc.mean == pytest.approx(5 / 6) and figures.sgc.mean == 0.5
    assert figures.failures == {"time_limit": 1} and figures.unscored == 0


def test_a_report_that_is_none_is_a_fault() -> None:
    for report in ({}, {"passes": [], "failures": [], "num_tests": 0, "success": True}):
        with pytest.raises(EnvironmentFault):
            read_report(report, completed=True)
    contradiction = {"passes": [{"requirement": "a"}], "failures": [], "num_tests": 2, "success": True}
    with pytest.raises(EnvironmentFault, match="contradicts itself"):
        read_report(contradiction, completed=True)
