"""TextWorldExpress with its real simulator."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator

import pytest

from cleartrace.environments.textgame import OPTIONS, command
from cleartrace.environments.textworld import FAMILIES, TextWorldExpress
from tests.environments.test_textgame import call

pytest.importorskip("textworld_express", reason="the package of the environment textworld is not installed")
if shutil.which("java") is None:
    pytest.skip("TextWorldExpress needs Java", allow_module_level=True)


@pytest.fixture(scope="module")
def games() -> Iterator[TextWorldExpress]:
    environment = TextWorldExpress()
    yield environment
    environment.close()


def test_a30_eight_families_of_3000_games(games: TextWorldExpress) -> None:
    tasks = games.tasks()
    assert len({task.id for task in tasks}) == len(tasks) == 24_000
    assert Counter(task.group for task in tasks) == dict.fromkeys(FAMILIES, 3000)
    assert Counter(task.split for task in tasks) == dict.fromkeys(("train", "dev", "test"), 8000)
    with games.machine.use() as simulator:
        assert sorted(simulator.getGameNames()) == sorted(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", [3, 10_003, 20_003])
def test_gold_scores_one_and_an_empty_agent_does_not(games: TextWorldExpress, family: str, seed: int) -> None:
    task = next(task for task in games.tasks() if task.id == f"{family}_{seed}")
    gold = games.gold(task.id, 0)
    session = games.session(task.id, 0)
    assert session.start().text.startswith(task.input) and not session.outcome().passed
    assert [session.act(action) for action in gold][-1].done and session.outcome().passed


def test_a_lost_game_ends_below_one(games: TextWorldExpress) -> None:
    session = games.session("simonsays_3", 0)
    asked = session.start().text
    listed = session.act(call(OPTIONS)).results[0].text.splitlines()[1:]
    wrong = next(text for text in listed if f"'{text}'" not in asked)
    assert session.act(command(wrong, "1")).done
    outcome = session.outcome()
    assert not outcome.passed and outcome.details["lost"] and "lost" in outcome.feedback


def test_an_unknown_command_is_the_agents_error(games: TextWorldExpress) -> None:
    session = games.session("coin_3", 0)
    session.start()
    observation = session.act(command("fly away", "1"))
    assert observation.results[0].is_error and not observation.done


def test_unknown_tasks_families_and_parameters_are_refused(games: TextWorldExpress) -> None:
    for wrong in ("coin_1000", "coin_x", "chess_0", "coin"):
        with pytest.raises(ValueError, match="has no task"):
            games.session(wrong, 0).start()
    with pytest.raises(ValueError, match="unknown family 'chess'"):
        TextWorldExpress(families="coin,chess")
    with pytest.raises(ValueError, match="differ by family"):
        TextWorldExpress(parameters="numLocations=5")
    with pytest.raises(ValueError, match="numPlaces"):
        TextWorldExpress(families="coin", parameters="numPlaces=5").tasks()


def test_parameters_change_the_games() -> None:
    games = TextWorldExpress(families="coin", parameters="numLocations=2, includeDoors=0")
    assert len(games.gold("coin_3", 0)) < 8 and len(games.tasks("test")) == 1000
    games.close()


def test_a_package_game_that_its_own_solution_loses_stays_a_task(games: TextWorldExpress) -> None:
    """In 55 dev games of peckingorder two things have one name, and the package takes the wrong one."""
    gold = games.gold("peckingorder_10412", 0)
    session = games.session("peckingorder_10412", 0)
    session.start()
    assert [session.act(action) for action in gold][-1].done and session.outcome().details["lost"]
