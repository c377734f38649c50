"""The rule world: orders whose right desk depends on rules, and the exact chance that the simulated agent is right.

Everything derives from the world's seed. Marks, thresholds and desks are drawn, so no model knows a rule beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from cleartrace.environments.ruleworld.rules import HOUSE_DESK, Item, Reading, Rule, read
from cleartrace.environments.ruleworld.streams import stream, unit
from cleartrace.episodes.types import Task

NAME = "ruleworld"
SPLITS = ("train", "val", "test")
MARKS = (
    "ADDER", "BISON", "CRANE", "DINGO", "EGRET", "FINCH", "GECKO", "HERON", "IBIS", "JACKAL", "KITE", "LARK",
    "MARTEN", "NEWT", "OTTER", "PIKE", "QUAIL", "RAVEN", "STOAT", "TERN", "URIAL", "VIPER", "WEASEL", "YAK", "ZEBU",
)  # fmt: skip
CUSTOMERS = (
    "Alder", "Birch", "Cedar", "Damson", "Elm", "Fir", "Gorse", "Hazel", "Ivy", "Juniper", "Kapok", "Larch",
    "Maple", "Nettle", "Oak", "Pine", "Quince", "Rowan", "Sorrel", "Teak", "Ulmo", "Vine", "Willow", "Yew",
)  # fmt: skip
DESKS = tuple(f"D{number}" for number in range(1, 10))


class Kind(str, Enum):
    """How a task is made. Shown to no agent and to no learner."""

    PLAIN = "plain"
    NOISY = "noisy"
    """Cancelled items stand among the others: the agent slips more often."""
    INTRACTABLE = "intractable"
    """A mark cannot be read: no context helps."""


@dataclass(frozen=True)
class Options:
    """What a world is like.

    Args:
        rules: of the whole house. `plain_marks`: marks without a rule.
        scenarios: customers of each split. `marks_each`: marks that a customer uses.
        tasks_each: orders of a customer.
        above: chance that an item of a mark with a rule weighs enough for it. The others need no context.
        noisy, intractable: shares of the tasks.
    """

    rules: int = 12
    plain_marks: int = 4
    scenarios: tuple[int, int, int] = (12, 6, 6)
    marks_each: int = 3
    tasks_each: int = 5
    above: float = 0.8
    noisy: float = 0.2
    intractable: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.rules <= len(MARKS) - self.plain_marks or self.plain_marks < 0:
            raise ValueError(f"rules and plain_marks must fit {len(MARKS)} marks, got {self.rules}, {self.plain_marks}")
        if min(self.scenarios) < 0 or sum(self.scenarios) > len(CUSTOMERS):
            raise ValueError(f"scenarios must add up to at most {len(CUSTOMERS)}, got {self.scenarios}")
        if self.scenarios[0] * self.marks_each < self.rules:
            have = f"{self.scenarios[0]} train scenarios of {self.marks_each} marks"
            raise ValueError(f"{have} cannot meet all {self.rules} rules")


@dataclass(frozen=True)
class Habits:
    """How well the simulated agent works: the assumptions of the simulator, all chosen (spec 9.3), none measured.

    Args:
        plain, noisy: chance of no slip in a task of that kind, with all it needs.
        reading: chance that a stated rule is followed.
        guess: chance to name the right desk of an item whose rule is not stated.
        misled: the same where only a wrong desk is stated.
        distraction: lost per line that says nothing on the task.
        capacity: words from which on a context is too long; at twice as many, half the chance is left.
        coupling: share of runs whose luck depends on (task, seed) alone. The others draw anew for each context, as an
            endpoint does that honours no seed.
    """

    plain: float = 0.96
    noisy: float = 0.65
    reading: float = 0.97
    guess: float = 0.08
    misled: float = 0.02
    distraction: float = 0.004
    capacity: int = 900
    coupling: float = 1.0


@dataclass(frozen=True)
class Order:
    """A task with what only the world knows. `needs`: rules that must be known, one for each item that one fires on."""

    task: Task
    items: tuple[Item, ...]
    desks: tuple[str, ...]
    kind: Kind
    needs: tuple[Rule, ...]

    @property
    def real(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if not item.cancelled)


class World:
    """Rules, customers and orders of one seed.

    Example:
        >>> world = World(seed=1)
        >>> order = next(one for one in world.orders("train") if one.needs and one.kind is Kind.PLAIN)
        >>> world.success(order.task, "") < 0.1 < 0.8 < world.success(order.task, world.gold_context())
        True
    """

    def __init__(self, seed: int = 0, options: Options | None = None, habits: Habits | None = None) -> None:
        self.seed = seed
        self.options = options or Options()
        self.habits = habits or Habits()
        marks = stream(seed, "marks").sample(MARKS, self.options.rules + self.options.plain_marks)
        self.rules = tuple(self._rule(mark) for mark in marks[: self.options.rules])
        self.plain_marks = tuple(marks[self.options.rules :])
        self._rule_of = {rule.mark: rule for rule in self.rules}
        self._orders = {order.task.id: order for order in self._make()}

    def _rule(self, mark: str) -> Rule:
        draw = stream(self.seed, "rule", mark)
        return Rule(mark, draw.randrange(20, 80, 5), draw.choice(DESKS))

    def rule_of(self, mark: str) -> Rule | None:
        return self._rule_of.get(mark)

    def gold_context(self) -> str:
        """Every rule and nothing else."""
        return "\n".join(f"- {rule.text}" for rule in self.rules)

    def orders(self, split: str | None = None) -> tuple[Order, ...]:
        return tuple(order for order in self._orders.values() if split is None or order.task.split == split)

    def tasks(self, split: str | None = None) -> tuple[Task, ...]:
        return tuple(order.task for order in self.orders(split))

    def order(self, task_id: str) -> Order:
        try:
            return self._orders[task_id]
        except KeyError:
            raise ValueError(f"ruleworld has no task {task_id!r}; its tasks are called like alder-1") from None

    def success(self, task: Task, context: str) -> float:
        """The exact chance that the simulated agent solves the task with that text beside it."""
        return self.chance(self.order(task.id), read(context))

    def mean_success(self, tasks: Sequence[Task], context: str) -> float:
        reading = read(context)
        return sum(self.chance(self._orders[task.id], reading) for task in tasks) / len(tasks)

    def chance(self, order: Order, reading: Reading) -> float:
        """The product over items of knowing the desk, times no slip, no distraction and no overload."""
        if order.kind is Kind.INTRACTABLE:
            return 0.0
        habits = self.habits
        chance = habits.plain if order.kind is Kind.PLAIN else habits.noisy
        used: set[int] = set()
        for item, desk in zip(order.real, order.desks, strict=True):
            claimed = reading.desks(item)
            chance *= self.knows(desk, claimed)
            used.update(reading.used(item))
        idle = len(reading.lines) - len(used)
        overload = max(1.0, reading.words / habits.capacity)
        return chance * (1.0 - habits.distraction) ** idle / overload

    def knows(self, desk: str, claimed: frozenset[str]) -> float:
        if not claimed:
            return 1.0 if desk == HOUSE_DESK else self.habits.guess
        if desk not in claimed:
            return self.habits.misled
        return self.habits.reading / len(claimed)

    def luck(self, task_id: str, seed: int, context: str) -> float:
        """A number of [0, 1): the run is solved where it is below the chance. Equal for any two contexts, unless
        `coupling` says otherwise."""
        coupled = self.habits.coupling
        if coupled < 1.0 and unit(self.seed, "coupled", task_id, seed) >= coupled:
            return unit(self.seed, "luck", task_id, seed, context)
        return unit(self.seed, "luck", task_id, seed)

    def _make(self) -> Sequence[Order]:
        from cleartrace.environments.ruleworld.orders import make_orders

        return make_orders(self)
