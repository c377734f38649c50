"""Which right answers the leak guard of a run knows."""

from cleartrace.episodes.types import Task
from cleartrace.learn.rcl.answers import guard_of

TASKS = [Task(environment="e", id=f"t{n}", input="", group=f"g{n // 2}") for n in range(10)]


def test_answers_of_tasks_are_known_and_words_of_the_environment_are_not():
    everywhere, in_one_scenario = "Press the button", "KX-2291"
    answers = {one.id: [everywhere] for one in TASKS} | {one.id: [everywhere, in_one_scenario] for one in TASKS[:2]}
    guard = guard_of(TASKS, answers)
    assert guard is not None
    assert [leak.secret.task_id for leak in guard.leaks("Enter KX-2291 first.")] == ["t0", "t1"]
    assert guard.leaks("Then press the button.") == []


def test_without_an_answer_there_is_no_guard():
    assert guard_of(TASKS, {}) is None and guard_of(TASKS, {"t0": []}) is None
