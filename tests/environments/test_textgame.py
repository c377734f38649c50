"""What text games have in common, on a game in Python: no Java is needed here."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from cleartrace.environments import textgame
from cleartrace.environments.protocol import Action, EnvironmentFault
from cleartrace.environments.textgame import OPTIONS, Standing, Step, TextGames, command
from cleartrace.llm.protocol import ToolCall


class Counting(TextGames[SimpleNamespace]):
    """`up` adds a half, `down` loses the game, `break` breaks the simulator."""

    name = "counting"
    rules = "count"

    def __init__(self) -> None:
        super().__init__()
        self.launched = self.ended = 0

    def _launch(self) -> SimpleNamespace:
        self.launched += 1
        return SimpleNamespace(score=0.0, close=self._end)

    def _end(self) -> None:
        self.ended += 1

    def _load(self, simulator: SimpleNamespace, task_id: str) -> str:
        simulator.score = 0.0
        return f"go {task_id}"

    def _step(self, simulator: SimpleNamespace, command: str) -> Step:
        if command == "break":
            raise BrokenPipeError("the other side is gone")
        simulator.score += {"up": 0.5, "down": -2.0}.get(command, 0.0)
        return Step(f"did {command}", command not in ("up", "down"), simulator.score < 0 or simulator.score >= 1)

    def _options(self, simulator: SimpleNamespace, containing: str) -> str:
        return textgame.listing("Commands:", [text for text in ("up", "down") if containing in text])

    def _standing(self, simulator: SimpleNamespace) -> Standing:
        return Standing(simulator.score, feedback="canary of the evaluator")

    def _solution(self, simulator: SimpleNamespace, task_id: str) -> Sequence[str]:
        return ["up", "up"]


@pytest.fixture
def games(monkeypatch: pytest.MonkeyPatch) -> Counting:
    monkeypatch.setattr(textgame, "_java_error", lambda: ArithmeticError)
    return Counting()


def call(name: str, **arguments: object) -> Action:
    return Action(calls=(ToolCall(id="1", name=name, arguments=dict(arguments)),))


def test_gold_wins_and_nothing_does_not(games: Counting) -> None:
    gold = games.gold("a", 0)
    session = games.session("a", 0)
    assert session.start().text == "go a" and session.outcome().score == 0.0
    seen = [session.act(action) for action in gold]
    assert [observation.done for observation in seen] == [False, True] and session.outcome().passed


def test_a_negative_score_counts_as_zero(games: Counting) -> None:
    session = games.session("a", 0)
    session.start()
    assert session.act(command("down", "1")).done and session.outcome().score == 0.0


def test_calls_of_one_action_run_in_order_until_the_end(games: Counting) -> None:
    session = games.session("a", 0)
    session.start()
    calls = tuple(ToolCall(id=str(n), name="act", arguments={"command": "up"}) for n in range(3))
    observation = session.act(Action(calls=calls))
    assert [result.call_id for result in observation.results] == ["0", "1", "2"]
    assert [result.is_error for result in observation.results] == [False, False, True]
    assert observation.results[2].text == textgame.OVER and observation.done


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (call("walk", command="up"), "There is no tool 'walk'"),
        (call("act"), "needs the argument 'command'"),
        (call("act", command=3), "needs the argument 'command'"),
        (call("act", command="x" * 501), "501 characters"),
        (Action(calls=(ToolCall(id="1", name="act", arguments=None, raw="{"),)), "not a JSON object"),
        (call("act", command="fly"), "did fly"),
    ],
)
def test_what_the_agent_does_wrong_is_told_and_the_game_goes_on(games: Counting, action: Action, words: str) -> None:
    session = games.session("a", 0)
    session.start()
    observation = session.act(action)
    assert observation.results[0].is_error and words in observation.results[0].text and not observation.done


def test_half_characters_and_line_ends_reach_no_simulator(games: Counting) -> None:
    session = games.session("a", 0)
    session.start()
    assert session.act(call("act", command=" go\n\ud83d  up ")).results[0].text == "did go \ufffd up"


def test_options_are_filtered_and_cost_nothing(games: Counting) -> None:
    session = games.session("a", 0)
    session.start()
    assert session.act(call(OPTIONS, containing="o")).results[0].text == "Commands:\ndown"
    assert session.act(call(OPTIONS)).results[0].text == "Commands:\nup\ndown" and session.outcome().score == 0.0


def test_two_messages_without_a_call_end_the_game(games: Counting) -> None:
    session = games.session("a", 0)
    session.start()
    first = session.act(Action(text="I think I should go up."))
    assert not first.done and first.text == textgame.REMINDER
    session.act(command("up", "1"))
    assert not session.act(Action(text="Then again.")).done
    assert session.act(Action(text="I am done.")).done and session.outcome().score == 0.5


def test_a_newer_game_ends_the_older_one(games: Counting) -> None:
    older, newer = games.session("a", 0), games.session("b", 0)
    older.start()
    newer.start()
    with pytest.raises(EnvironmentFault, match="another game"):
        older.act(command("up", "1"))
    assert newer.act(command("up", "1")).results[0].text == "did up"


@pytest.mark.parametrize("late", ["act", "outcome"])
def test_r23_a_broken_simulator_is_closed_once_and_replaced(games: Counting, late: str) -> None:
    session = games.session("a", 0)
    session.start()
    with pytest.raises(EnvironmentFault, match="the other side is gone"):
        session.act(command("break", "1"))
    assert games.ended == 1
    with pytest.raises(EnvironmentFault):
        session.act(command("up", "2")) if late == "act" else session.outcome()
    again = games.session("a", 0)
    again.start()
    assert again.act(command("up", "1")).results[0].text == "did up" and games.launched == 2


def test_a4_the_evaluator_is_heard_in_the_outcome_alone(games: Counting) -> None:
    session = games.session("a", 0)
    seen = [session.start(), *(session.act(action) for action in (command("up", "1"), call(OPTIONS), Action(text="?")))]
    assert "canary" in session.outcome().feedback
    assert not any("canary" in observation.model_dump_json() for observation in seen)


def test_long_lists_say_what_they_leave_out() -> None:
    lines = textgame.listing("All:", [str(n) for n in range(205)]).splitlines()
    assert len(lines) == 202 and lines[-1] == "... and 5 more" and math.isclose(float(lines[1]), 0)


def test_java_gets_a_bounded_memory_unless_the_user_chose(games: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []
    launch = games.machine._launch
    games.machine._launch = lambda: (seen.append(os.environ.get("JAVA_TOOL_OPTIONS")), launch())[1]
    monkeypatch.delenv("JAVA_TOOL_OPTIONS", raising=False)
    games.session("a", 0).start()
    assert "JAVA_TOOL_OPTIONS" not in os.environ
    games.close()
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx2g")
    games.session("a", 0).start()
    assert seen == [textgame.JAVA_OPTIONS, "-Xmx2g"] and os.environ["JAVA_TOOL_OPTIONS"] == "-Xmx2g"
