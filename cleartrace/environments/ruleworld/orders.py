"""Customers and their orders: drawn from the world's seed, and written out as task texts."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING

from cleartrace.environments.ruleworld.rules import HOUSE_DESK, Item
from cleartrace.environments.ruleworld.streams import stream
from cleartrace.environments.ruleworld.world import CUSTOMERS, DESKS, NAME, SPLITS, Kind, Order
from cleartrace.episodes.types import Task

if TYPE_CHECKING:
    from cleartrace.environments.ruleworld.world import World

_ITEMS = (1, 1, 1, 2, 2, 3)
"""How many items an order has: half have one."""


def make_orders(world: World) -> list[Order]:
    """Of all customers. Every rule occurs in the train split, so that whatever the test split needs can be learned."""
    customers = iter(stream(world.seed, "customers").sample(CUSTOMERS, sum(world.options.scenarios)))
    found: list[Order] = []
    for split, count in zip(SPLITS, world.options.scenarios, strict=True):
        marks = _marks(world, split)
        for _ in range(count):
            customer, own = next(customers), next(marks)
            found += [_order(world, split, customer, own, number) for number in range(1, world.options.tasks_each + 1)]
    return found


def _marks(world: World, split: str) -> Iterator[list[str]]:
    """Marks of each customer of a split: the rules are dealt round and round, and shuffled for each round."""
    draw = stream(world.seed, "deal", split)
    deck: list[str] = []
    while True:
        own: list[str] = []
        while len(own) < world.options.marks_each:
            if not deck:
                deck = [rule.mark for rule in world.rules]
                draw.shuffle(deck)
            mark = deck.pop()
            if mark not in own:
                own.append(mark)
            elif len(world.rules) <= len(own):
                break
        yield own


def _order(world: World, split: str, customer: str, marks: list[str], number: int) -> Order:
    draw = stream(world.seed, "order", customer, number)
    kind = _kind(world, draw)
    # The first orders of a customer go through its marks, so that each mark is met.
    firsts = [marks[(number - 1) % len(marks)]]
    others = [draw.choice([*marks, *world.plain_marks]) for _ in range(draw.choice(_ITEMS) - 1)]
    items = [_item(world, mark, draw) for mark in firsts + others]
    desks = [_desk(world, item) for item in items]
    if kind is Kind.INTRACTABLE:
        items[0] = Item("", items[0].weight)
        desks[0] = draw.choice(DESKS)
    if kind is Kind.NOISY:
        items = _with_cancelled(world, items, marks, draw)
    real = [item for item in items if not item.cancelled]
    needs = tuple(dict.fromkeys(rule for item in real if (rule := world.rule_of(item.mark)) and rule.fires(item)))
    task = Task(
        environment=NAME,
        id=f"{customer.lower()}-{number}",
        input=_text(customer, number, items),
        split=split,
        group=customer.lower(),
    )
    return Order(task, tuple(items), tuple(desks), kind, needs)


def _kind(world: World, draw: Random) -> Kind:
    at = draw.random()
    if at < world.options.intractable:
        return Kind.INTRACTABLE
    return Kind.NOISY if at < world.options.intractable + world.options.noisy else Kind.PLAIN


def _item(world: World, mark: str, draw: Random) -> Item:
    rule = world.rule_of(mark)
    if rule is None:
        return Item(mark, draw.randint(5, 95))
    heavy = draw.random() < world.options.above
    return Item(mark, draw.randint(rule.above + 1, 99) if heavy else draw.randint(1, rule.above))


def _desk(world: World, item: Item) -> str:
    rule = world.rule_of(item.mark)
    return rule.desk if rule and rule.fires(item) else HOUSE_DESK


def _with_cancelled(world: World, items: list[Item], marks: list[str], draw: Random) -> list[Item]:
    made = list(items)
    for _ in range(draw.randint(1, 2)):
        item = _item(world, draw.choice([*marks, *world.plain_marks]), draw)
        made.insert(draw.randint(0, len(made)), Item(item.mark, item.weight, cancelled=True))
    return made


def _text(customer: str, number: int, items: list[Item]) -> str:
    lines = [f"Order {number} of {customer}:"]
    for place, item in enumerate(items, 1):
        mark = f"marked {item.mark}" if item.mark else "mark torn off"
        lines.append(f"{place}. {mark}, {item.weight} kg" + (", cancelled" if item.cancelled else ""))
    lines.append("Which desk does each item go to? Leave out cancelled items.")
    return "\n".join(lines)
