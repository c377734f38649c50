"""ScienceWorld with its real simulator."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator

import pytest

from cleartrace.environments.protocol import EnvironmentFault
from cleartrace.environments.scienceworld import ScienceWorld
from cleartrace.environments.textgame import OPTIONS, command
from tests.environments.test_textgame import call

pytest.importorskip("scienceworld", reason="the package of the environment scienceworld is not installed")
if shutil.which("java") is None:
    pytest.skip("ScienceWorld needs Java", allow_module_level=True)


@pytest.fixture(scope="module")
def world() -> Iterator[ScienceWorld]:
    environment = ScienceWorld()
    yield environment
    environment.close()


def test_a30_all_7207_variations_are_tasks(world: ScienceWorld) -> None:
    tasks = world.tasks()
    assert len({task.id for task in tasks}) == len(tasks) == 7207
    assert Counter(task.split for task in tasks) == {"train": 3592, "dev": 1796, "test": 1819}
    assert len({task.group for task in tasks}) == 30
    assert [task.id for task in world.tasks("dev")] == [task.id for task in tasks if task.split == "dev"]


@pytest.mark.parametrize("task_id", ["find-non-living-thing_7", "lifespan-shortest-lived_3", "power-component_0"])
def test_gold_scores_one_and_an_empty_agent_does_not(world: ScienceWorld, task_id: str) -> None:
    gold = world.gold(task_id, 0)
    session = world.session(task_id, 0)
    task = next(task for task in world.tasks() if task.id == task_id)
    first = session.start()
    assert first.text.startswith(task.input) and not session.outcome().passed
    seen = [session.act(action) for action in gold]
    assert seen[-1].done and session.outcome().passed
    assert not any("Sequential Subgoals" in observation.model_dump_json() for observation in (first, *seen))  # A4


@pytest.mark.parametrize("number", [1241, 1243, 1367])
def test_a_task_reads_the_same_each_time(world: ScienceWorld, number: int) -> None:
    task = next(task for task in world.tasks() if task.id == f"inclined-plane-friction-named-surfaces_{number}")
    assert world.session(task.id, 0).start().text.startswith(task.input)


def test_a_wrong_focus_ends_the_task_with_a_score_of_zero(world: ScienceWorld) -> None:
    session = world.session("boil_0", 0)
    session.start()
    observation = session.act(command("focus on picture", "1"))
    outcome = session.outcome()
    assert observation.done and outcome.score == 0.0 and outcome.details["score_100"] == -100


def test_options_list_forms_things_and_fitting_commands(world: ScienceWorld) -> None:
    session = world.session("boil_0", 0)
    session.start()
    everything = session.act(call(OPTIONS)).results[0].text
    assert "pick up OBJ" in everything and "Things here" in everything
    fitting = session.act(call(OPTIONS, containing="open door")).results[0].text.splitlines()[1:]
    assert fitting and all("open door" in line for line in fitting)
    assert session.act(command("fly away", "1")).results[0].is_error


def test_unknown_tasks_and_simplifications_are_refused(world: ScienceWorld) -> None:
    for wrong in ("boil_30", "boil", "boil_-1", "fly_0"):
        with pytest.raises(ValueError, match="has no task"):
            world.session(wrong, 0).start()
    with pytest.raises(ValueError, match="unknown simplification 'openDoor'; ScienceWorld has easy"):
        ScienceWorld(simplifications="easy,openDoor")


def test_electrical_tasks_refuse_to_lose_their_actions(world: ScienceWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "_simplifications", "noElectricalAction")
    with pytest.raises(ValueError, match="electrical actions"):
        world.session("power-component_0", 0).start()


def test_simplifications_change_the_world_and_a_dead_process_is_replaced() -> None:
    world = ScienceWorld(simplifications="easy")
    session = world.session("boil_0", 0)
    session.start()
    assert "teleport" in session.act(call(OPTIONS)).results[0].text
    with world.machine.use() as simulator:
        process = simulator._gateway.java_process
    process.kill()
    process.wait(10)
    with pytest.raises(EnvironmentFault, match="its Java simulator failed"):
        session.act(command("look around", "1"))
    session = world.session("boil_0", 0)
    assert "boil" in session.start().text
    with world.machine.use() as simulator:
        process = simulator._gateway.java_process
    world.close()
    assert process.wait(10) is not None
