"""Answers that an environment knows, kept for the leak filter: later stages need no environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cleartrace.agents.tool_loop import ToolLoopAgent
from cleartrace.agents.workplace import AgentConfig, Workplace
from cleartrace.context.playbook.entities import entities, is_telling, leak_tokens
from cleartrace.context.playbook.leak import RUN
from cleartrace.data.files import write_json_lines
from cleartrace.environments.inprocess import InProcess
from cleartrace.environments.protocol import Action, EnvironmentFault
from cleartrace.environments.registry import load
from cleartrace.episodes.types import Task
from cleartrace.learn.clear.project import Project


async def keep_gold(project: Project, place: Workplace, config: AgentConfig, tasks: Sequence[Task], seed: int) -> None:
    """Answers that the environment knows, for the leak filter: later stages need no environment."""
    known = project.gold()
    if set(known) >= {task.id for task in tasks}:
        return
    if isinstance(place.agent, ToolLoopAgent):
        host: Any = place.agent.host
    else:
        host = InProcess(load(config.environment, **config.environment_options))
    found = dict(known)
    for task in tasks:
        if task.id not in found:
            found[task.id] = await gold_answers(host, task.id, seed)
    write_json_lines(project.gold_file, ({"id": id, "values": values} for id, values in found.items()))


async def gold_answers(host: Any, task_id: str, seed: int) -> list[str]:
    """What right actions say; [] where the environment knows none."""
    try:
        actions: Sequence[Action] = await host.gold(task_id, seed) or ()
    except EnvironmentFault:
        return []
    said = [value for one in actions for value in (one.text, *filter(tells, _arguments(one)))]
    return list(dict.fromkeys(filter(None, said)))


def _arguments(action: Action) -> Iterator[str]:
    for call in action.calls:
        yield from leaves(call.arguments)


def tells(argument: str) -> bool:
    """Whether an argument of a right call is an answer, and no word of the environment's own language.

    Example:
        >>> [tells(one) for one in ("look around", "Alice", "GB29-1144", "2 bananas", "Rent for May: 410.25")]
        [False, True, True, False, True]
    """
    words = len(leak_tokens(argument))
    return bool(entities(argument)) or words >= RUN or (words == 1 and is_telling(argument))


def leaves(value: Any) -> Iterator[str]:
    """Texts and numbers in a JSON value, as text.

    Example:
        >>> list(leaves({"to": "Ada", "amounts": [3, 4.5], "now": True}))
        ['Ada', '3', '4.5']
    """
    if isinstance(value, Mapping):
        for one in value.values():
            yield from leaves(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from leaves(one)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield str(value)
