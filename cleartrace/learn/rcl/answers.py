"""Right answers of the tasks that are learned from, for the leak guard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from cleartrace.context.playbook.leak import LeakGuard, Secret
from cleartrace.episodes.types import Task


def guard_of(tasks: Sequence[Task], answers: Mapping[str, Sequence[str]]) -> LeakGuard | None:
    """None where no task has an answer of its own.

    Answers that four scenarios and a twentieth of them share are words of the environment, and free to say.

    Args:
        answers: by task id.
    """
    scenarios: dict[str, set[str]] = defaultdict(set)
    for task in tasks:
        for answer in answers.get(task.id, ()):
            scenarios[answer].add(task.group or task.id)
    general = max(4, -(-len({task.group or task.id for task in tasks}) // 20))
    secrets = [
        Secret(text=answer, task_id=task.id, group=task.group)
        for task in tasks
        for answer in answers.get(task.id, ())
        if len(scenarios[answer]) < general
    ]
    return LeakGuard(secrets) if secrets else None
