"""An execution agent without a model: it follows the rules that are literally in its context, with exact chances."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import lru_cache
from typing import Literal

from cleartrace.environments.ruleworld.rules import HOUSE_DESK, Reading, read
from cleartrace.environments.ruleworld.streams import unit
from cleartrace.environments.ruleworld.world import DESKS, NAME, Order, World
from cleartrace.episodes.types import (
    Context,
    Episode,
    Outcome,
    PartKind,
    PartRef,
    Step,
    StepKind,
    Task,
    Trajectory,
    Usage,
)

CITED = 0.95
"""Chance that a used entry is cited. Chosen."""
CITED_WRONGLY = 0.02
"""Chance that an unused one is. Chosen."""


class SimulatedAgent:
    """Solves a task with the chance that `World.success` states. A run is a pure function of (task, context, seed).

    Args:
        cites: whether entries are cited in every run, or in probe runs alone, as in the published dual trace.
    """

    def __init__(self, world: World, cites: Literal["always", "probed"] = "always") -> None:
        self.world = world
        self.cites = cites
        facts = repr((world.seed, asdict(world.options), asdict(world.habits), cites))
        self.hash = hashlib.sha256(facts.encode()).hexdigest()[:16]

    async def run(self, task: Task, context: Context, seed: int) -> Episode:
        return self.episode(task, context, seed)

    def episode(self, task: Task, context: Context, seed: int) -> Episode:
        """The run itself, which needs no event loop."""
        order = self.world.order(task.id)
        reading = read(context.text)
        solved = self.world.luck(task.id, seed, context.text) < self.world.chance(order, reading)
        desks = order.desks if solved else wrong_desks(self.world, order, reading, seed)
        output = ", ".join(desks)
        cited = self._citations(order, context, reading, seed) if self.cites == "always" or context.probe else ()
        trajectory = Trajectory(
            environment=NAME,
            task_id=task.id,
            agent=self.hash,
            seed=seed,
            context=context,
            steps=(_input(task.input), _message(output)),
            output=output,
            citations=cited,
            turns=1,
            usage=_usage(reading.words + len(task.input) // 6, len(desks)),
        )
        return Episode(trajectory=trajectory, outcome=outcome_of(order.desks, desks))

    def _citations(self, order: Order, context: Context, reading: Reading, seed: int) -> tuple[PartRef, ...]:
        used = {line for item in order.real for line in reading.used(item)}
        cited = []
        for part in context.parts:
            if part.kind is PartKind.ENTRY:
                stands_in = next((n for n, line in enumerate(reading.lines) if names(line, part.id)), -1)
                chance = CITED if stands_in in used else CITED_WRONGLY
                if unit(self.world.seed, "cite", order.task.id, seed, part.id) < chance:
                    cited.append(part)
        return tuple(cited)


def names(line: str, entry_id: str) -> bool:
    """Whether a rendered line is the entry's: its id stands in it as a word."""
    start = line.find(entry_id)
    while start >= 0:
        end = start + len(entry_id)
        if not (start and line[start - 1].isalnum()) and not (end < len(line) and line[end].isalnum()):
            return True
        start = line.find(entry_id, start + 1)
    return False


def wrong_desks(world: World, order: Order, reading: Reading, seed: int) -> tuple[str, ...]:
    """An answer that fails, and looks like its reason: misled, not knowing, or a slip."""
    desks = list(order.desks)
    weakest, lowest = 0, 2.0
    for place, (item, desk) in enumerate(zip(order.real, order.desks, strict=True)):
        knows = world.knows(desk, reading.desks(item)) if item.mark else 0.0
        if knows < lowest:
            weakest, lowest = place, knows
    item, right = order.real[weakest], order.desks[weakest]
    claimed = sorted(reading.desks(item) - {right})
    if claimed:
        desks[weakest] = claimed[0]
    elif right != HOUSE_DESK:
        desks[weakest] = HOUSE_DESK
    else:
        desks[weakest] = DESKS[int(unit(world.seed, "slip", order.task.id, seed) * len(DESKS))]
    return tuple(desks)


@lru_cache(maxsize=4096)
def outcome_of(right: tuple[str, ...], given: tuple[str, ...]) -> Outcome:
    """1 for exactly the right desks in order, else 0. The feedback names the items that went wrong."""
    if given == right:
        return Outcome(score=1.0, details={"right": len(right), "items": len(right)})
    wrong = [n for n, desk in enumerate(right, 1) if n > len(given) or given[n - 1] != desk]
    wanted = "; ".join(f"item {n} belongs to {right[n - 1]}" for n in wrong)
    feedback = wanted or f"{len(given)} desks were named for {len(right)} items"
    details = {"right": len(right) - len(wrong), "items": len(right)}
    return Outcome(score=0.0, feedback=feedback, details=details)


@lru_cache(maxsize=8192)
def _input(task_text: str) -> Step:
    return Step(kind=StepKind.INPUT, name="user", text=task_text)


@lru_cache(maxsize=4096)
def _message(output: str) -> Step:
    return Step(kind=StepKind.MESSAGE, text=output)


@lru_cache(maxsize=4096)
def _usage(read_words: int, written: int) -> Usage:
    """Words stand for tokens."""
    return Usage(calls=1, input_tokens=read_words, output_tokens=2 * written)
