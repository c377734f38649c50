"""What the filter finds in guidance, and what it lets pass (A24)."""

from __future__ import annotations

import pytest

from cleartrace.episodes.types import Episode, Outcome, Step, StepKind, Task, Trajectory
from cleartrace.learn.clear.leaks import GuidanceFilter
from tests.learn.clear.leak_fixture import CLEAN, GOLD, LEAKING, TASKS, runs


@pytest.fixture(scope="module")
def guard() -> GuidanceFilter:
    return GuidanceFilter(TASKS, runs(), GOLD)


def test_a24_planted_leaks_are_found_and_clean_guidance_passes(guard: GuidanceFilter) -> None:
    missed = [text for task, text in LEAKING if not guard.leak(task, text)]
    wrong = {text: found for task, text in CLEAN if (found := guard.leak(task, text))}
    assert (missed, wrong) == ([], {}), "recall and precision are 1 on the fixture"


def test_a24_every_value_is_found_in_the_midst_of_clean_guidance(guard: GuidanceFilter) -> None:
    for task in TASKS:
        for _, text in CLEAN:
            (answer,) = GOLD[task.id]
            assert guard.leak(task.id, f"{text} The answer is {answer}."), (task.id, text)


def test_a_leak_is_said_in_words(guard: GuidanceFilter) -> None:
    assert guard.leak("owe-1", "Pay 187.35.") == "answer: 187.35"
    assert guard.leak("owe-1", "See NT-4410.") == "value: nt-4410"
    assert guard.leak("owe-1", "") == ""


def test_what_the_task_states_may_be_said() -> None:
    task = Task(environment="w", id="t", input="Send 412.50 to Ida Holm under reference RF-2210.")
    steps = (Step(kind=StepKind.RESULT, name="pay", text="412.50 to Ida Holm, RF-2210, receipt RC-9917"),)
    run = Trajectory(environment="w", task_id="t", agent="a", steps=steps)
    guard = GuidanceFilter([task], [Episode(trajectory=run, outcome=Outcome(score=1.0))], {"t": ["412.50", "Ida Holm"]})
    assert guard.leak("t", "Send 412.50 to Ida Holm with RF-2210.") == ""
    assert guard.leak("t", "Keep the receipt RC-9917.") == "value: rc-9917"


def made(count: int, feedback: str, shown: str) -> tuple[list[Task], list[Episode]]:
    tasks = [Task(environment="w", id=f"t{n}", input="Do it.", group=f"s{n}") for n in range(count)]
    steps = (Step(kind=StepKind.RESULT, name="x", text=shown),)
    outcome = Outcome(score=0.0, feedback=feedback, details={"expected": f"token {feedback}"})
    made = [Trajectory(environment="w", task_id=task.id, agent="a", steps=steps) for task in tasks]
    return tasks, [Episode(trajectory=one, outcome=outcome) for one in made]


def test_what_many_scenarios_meet_is_no_secret() -> None:
    for count, leaks in ((3, True), (4, False)):
        tasks, episodes = made(count, "the last line must hold desks alone", "see Parcel Office 3")
        guard = GuidanceFilter(tasks, episodes)
        assert bool(guard.leak("t0", "The last line must hold desks alone.")) == leaks
        assert bool(guard.leak("t0", "Ask the Parcel Office.")) == leaks
    assert (
        GuidanceFilter(tasks, episodes, general_from=5).leak("t0", "Ask the Parcel Office.") == "value: parcel office"
    )


def test_details_of_the_evaluator_are_secret_and_those_of_the_runner_are_not() -> None:
    task = Task(environment="w", id="t", input="Do it.")
    details = {"expected": ["Lisbon Harbour"], "time_limit_s": 431.25}
    run = Trajectory(environment="w", task_id="t", agent="a")
    guard = GuidanceFilter([task], [Episode(trajectory=run, outcome=Outcome(score=0.0, details=details))])
    assert guard.leak("t", "It ends in Lisbon Harbour.") == "answer: lisbon harbour"
    assert guard.leak("t", "It takes 431.25 s.") == ""
