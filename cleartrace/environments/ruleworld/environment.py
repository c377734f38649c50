"""The rule world as an environment for real agents: texts in, desks out, checked exactly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cleartrace.environments.protocol import Action, CallResult, Observation
from cleartrace.environments.ruleworld.agent import outcome_of
from cleartrace.environments.ruleworld.world import NAME, Options, Order, World
from cleartrace.episodes.types import Failure, FailureKind, Outcome, Task
from cleartrace.llm.protocol import ToolCall, ToolSpec

SYSTEM = (
    "You sort orders at a dispatch house. Each item of an order goes to one desk. The usual desk is D0. The house also "
    "has rules of its own that send some items to other desks (D1 to D9); the ones that are known are given to you. "
    "Write the desks in the order of the items, separated by commas, on the last line, and nothing else on that line. "
    "Example: D0, D4"
)
DOMAIN = (
    "Agents sort the orders of a dispatch house. Each item has a mark and a weight and goes to one desk. Unwritten "
    "rules of the house decide by mark and weight; an agent can only know those that its playbook states. The same "
    "marks occur with many customers. Some orders hold cancelled items, which are left out of the answer, and some "
    "marks are torn off."
)
SECTIONS = {
    "rules": "Which items go to which desk: the mark, the weight above which it holds, the desk.",
    "reading": "How to read an order: cancelled items, the form of the answer.",
}
WEIGH = ToolSpec(
    name="weigh",
    description="Weigh one item of the order.",
    parameters={
        "type": "object",
        "properties": {"item": {"type": "integer", "minimum": 1, "description": "number of the item in the order"}},
        "required": ["item"],
    },
)
_LINE = re.compile(r"^\W*D\d(?:\W+D\d)*\W*$")
_WEIGHT = re.compile(r", (\d+) kg")


class RuleWorld:
    """Environment face of `World`.

    Args:
        seed: of the world: its rules, customers and orders.
        options: of `Options`, by name.
        weigh: weights are left out of the texts and must be asked for with a tool, so that a run has several turns.
    """

    name = NAME
    domain = DOMAIN
    sections: Mapping[str, str] = SECTIONS

    def __init__(self, seed: int = 0, weigh: bool = False, options: Mapping[str, Any] | None = None) -> None:
        self.world = World(seed, Options(**(options or {})))
        self.weigh = weigh

    def tasks(self, split: str | None = None) -> Sequence[Task]:
        tasks = self.world.tasks(split)
        return [self._shown(task) for task in tasks] if self.weigh else list(tasks)

    def session(self, task_id: str, seed: int) -> DispatchSession:
        """`seed` changes nothing: the world's answers are fixed."""
        del seed
        order = self.world.order(task_id)
        return DispatchSession(order, self._shown(order.task), self.weigh)

    def gold(self, task_id: str, seed: int) -> Sequence[Action]:
        del seed
        return [Action(text=", ".join(self.world.order(task_id).desks))]

    def _shown(self, task: Task) -> Task:
        return task.model_copy(update={"input": _WEIGHT.sub("", task.input)}) if self.weigh else task


class DispatchSession:
    """One order being sorted. Calls of `weigh` may come first; a message is the answer and ends it."""

    def __init__(self, order: Order, task: Task, weigh: bool) -> None:
        self._order, self._task = order, task
        self._tools = (WEIGH,) if weigh else ()
        self._answer: str | None = None

    def start(self) -> Observation:
        return Observation(system=SYSTEM, text=self._task.input, tools=self._tools)

    def act(self, action: Action) -> Observation:
        if action.calls:
            return Observation(results=tuple(self._call(call) for call in action.calls), tools=self._tools)
        self._answer = action.text
        return Observation(done=True)

    def outcome(self) -> Outcome:
        if self._answer is None:
            failure = Failure(kind=FailureKind.FORMAT, message="the run ended without an answer")
            return Outcome(score=0.0, feedback="no answer was given", failure=failure)
        given = desks_in(self._answer)
        if given is None:
            failure = Failure(kind=FailureKind.FORMAT, message="the last line is not a list of desks")
            return Outcome(score=0.0, feedback="the last line must hold desks alone, as in: D0, D4", failure=failure)
        return outcome_of(self._order.desks, given)

    def close(self) -> None:
        """Nothing is open."""

    def _call(self, call: ToolCall) -> CallResult:
        if call.name != WEIGH.name or not self._tools:
            return CallResult(call_id=call.id, text=f"there is no tool {call.name!r}", is_error=True)
        item = (call.arguments or {}).get("item")
        if isinstance(item, bool) or not isinstance(item, int) or not 1 <= item <= len(self._order.items):
            text = f"item must be a whole number from 1 to {len(self._order.items)}, got {item!r}"
            return CallResult(call_id=call.id, text=text, is_error=True)
        return CallResult(call_id=call.id, text=f"{self._order.items[item - 1].weight} kg")


def desks_in(answer: str) -> tuple[str, ...] | None:
    """Desks of the last line that is not empty; None where it holds anything else.

    Example:
        >>> desks_in("The first is heavy.\\nD7, D0"), desks_in("I think D7")
        (('D7', 'D0'), None)
    """
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    if not lines or not _LINE.match(lines[-1]):
        return None
    return tuple(re.findall(r"D\d", lines[-1]))
