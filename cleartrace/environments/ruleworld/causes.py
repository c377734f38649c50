"""Why a run of the simulated agent failed, and entries as somebody who saw it rightly, wrongly or not at all writes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random

from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.environments.ruleworld.rules import HOUSE_DESK, Rule, read, rules_in
from cleartrace.environments.ruleworld.world import DESKS, Kind, Order, World


class Cause(str, Enum):
    GAP = "gap"
    """A rule that the task needs is not stated."""
    MISLED = "misled"
    """The context states something wrong about an item."""
    LUCK = "luck"
    """All that is needed was there."""
    INTRACTABLE = "intractable"


@dataclass(frozen=True)
class Diagnosis:
    """The truth about a failed run. `missing`: rules of a gap; `wrong`: false claims."""

    cause: Cause
    missing: tuple[Rule, ...] = ()
    wrong: tuple[Rule, ...] = ()


def diagnose(order: Order, context: str) -> Diagnosis:
    """What kept a run with that context from being safe."""
    if order.kind is Kind.INTRACTABLE:
        return Diagnosis(Cause.INTRACTABLE)
    reading = read(context)
    wrong, missing = [], []
    for item, desk in zip(order.real, order.desks, strict=True):
        claims = [rule for rule, _ in reading.claims.get(item.mark, ()) if rule.fires(item)]
        wrong += [rule for rule in claims if rule.desk != desk]
        if not claims and desk != HOUSE_DESK:
            missing += [rule for rule in order.needs if rule.mark == item.mark]
    if wrong:
        return Diagnosis(Cause.MISLED, wrong=tuple(dict.fromkeys(wrong)))
    return Diagnosis(Cause.GAP, missing=tuple(dict.fromkeys(missing))) if missing else Diagnosis(Cause.LUCK)


def used_entries(order: Order, playbook: Playbook) -> tuple[Entry, ...]:
    """Entries that say something on the order's items, right or wrong."""
    return tuple(
        entry
        for entry in playbook.entries
        if any(rule.fires(item) for rule in rules_in(entry.text) for item in order.real)
    )


def is_true(world: World, entry: Entry) -> bool:
    """Whether the entry states rules and all of them are the house's."""
    rules = rules_in(entry.text)
    return bool(rules) and all(rule in world.rules for rule in rules)


def entry_with(playbook: Playbook, rule: Rule) -> Entry | None:
    return next((entry for entry in playbook.entries if rule in rules_in(entry.text)), None)


def false_rule(world: World, mark: str, draw: Random) -> Rule:
    """A wrong desk for the mark, with a threshold low enough to do harm."""
    right = world.rule_of(mark)
    desks = [desk for desk in DESKS if right is None or desk != right.desk]
    return Rule(mark, draw.randrange(0, 25, 5), draw.choice(desks))


_IDLE = (
    "Read orders with {mark} items twice before answering.",
    "Items marked {mark} deserve care: think step by step.",
    "Compare {mark} items with the other items of the order.",
    "Note the weight of each {mark} item before naming a desk.",
    "Double-check the number of {mark} items in the order.",
)


def idle_advice(mark: str, draw: Random) -> str:
    """Advice that states no rule: it helps nobody and is one line more to read."""
    return draw.choice(_IDLE).format(mark=mark or "unmarked")
