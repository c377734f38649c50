"""A mutator without a model: it makes edits of what reflections suggest, and spoils them at set rates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.types import Playbook
from cleartrace.environments.ruleworld.causes import false_rule, idle_advice, is_true
from cleartrace.environments.ruleworld.reflector import ADD, CORRECT
from cleartrace.environments.ruleworld.rules import rules_in
from cleartrace.environments.ruleworld.streams import stream
from cleartrace.environments.ruleworld.world import World
from cleartrace.learn.protocol import FailureType, Proposal, Reflection, Signal

_SUGGESTION = re.compile(rf"^(?:{ADD}|{CORRECT} (?P<id>\S+):) (?P<text>.+)$", re.MULTILINE)
# An edit in a line of `learn.memory.render`.
_EDITED = re.compile(r"\b(?:ADD|UPDATE|MERGE|SPLIT) (e\d+)")
_NO_EDIT = (FailureType.EXECUTION_VARIANCE, FailureType.INTRACTABLE)


@dataclass(frozen=True)
class Drafting:
    """Assumptions about a mutator, all chosen.

    Args:
        useless, harmful: chance that an edit is replaced by one that helps nobody, or by one that does harm.
        most: edits of one proposal (published: 0 to 3).
        heeds: chance that the optimiser's memory is heeded: a text that it names and that is gone was tried, and is not
            proposed again; an entry of which it names an edit is left as it is until that is no longer recent.
    """

    useless: float = 0.1
    harmful: float = 0.05
    most: int = 3
    heeds: float = 0.9

    def __post_init__(self) -> None:
        if min(self.useless, self.harmful) < 0 or self.useless + self.harmful > 1:
            raise ValueError(f"useless and harmful are shares of one whole, got {self.useless} and {self.harmful}")


class ScriptedMutator:
    """Implements `learn.protocol.Mutator`. A reflection that says variance or intractable gives no edit."""

    def __init__(self, world: World, drafting: Drafting | None = None) -> None:
        self.world = world
        self.drafting = drafting or Drafting()

    async def propose(
        self, playbook: Playbook, signals: Sequence[Signal], reflections: Sequence[Reflection], memory: str, seed: int
    ) -> Proposal:
        draw = stream(seed, "mutate")
        marks = sorted({item.mark for one in signals for item in self.world.order(one.task.id).real if item.mark})
        made: list[Operation] = []
        for wanted in suggested(reflections):
            if len(made) == self.drafting.most:
                break
            drafted = self._spoiled(wanted, playbook, marks, draw)
            if self._is_news(drafted, playbook, made, memory, draw):
                made.append(drafted)
        return Proposal(operations=tuple(made), summary=f"{len(made)} edits")

    def _spoiled(self, wanted: Operation, playbook: Playbook, marks: Sequence[str], draw: Random) -> Operation:
        at = draw.random()
        mark = draw.choice(marks) if marks else draw.choice([rule.mark for rule in self.world.rules])
        if at < self.drafting.harmful:
            return harmful_edit(self.world, wanted, playbook, mark, draw)
        if at < self.drafting.harmful + self.drafting.useless:
            return wanted.model_copy(update={"op": Op.ADD, "entry_ids": (), "texts": (idle_advice(mark, draw),)})
        return wanted

    def _is_news(
        self, drafted: Operation, playbook: Playbook, made: Sequence[Operation], memory: str, draw: Random
    ) -> bool:
        touched = {id for one in made for id in one.entry_ids}
        there = {entry.text for entry in playbook.entries} | {text for one in made for text in one.texts}
        if any(id in touched for id in drafted.entry_ids) or any(text in there for text in drafted.texts):
            return False
        tried = any(text in memory for text in drafted.texts)
        recent = set(drafted.entry_ids) & set(_EDITED.findall(memory))
        return not ((tried or recent) and draw.random() < self.drafting.heeds)


def suggested(reflections: Sequence[Reflection]) -> Iterator[Operation]:
    """What the reflections ask for, in their order."""
    for one in reflections:
        if one.failure_type in _NO_EDIT:
            continue
        for match in _SUGGESTION.finditer(one.analysis):
            entry = match["id"]
            yield Operation(
                op=Op.UPDATE if entry else Op.ADD,
                entry_ids=(entry,) if entry else (),
                texts=(match["text"],),
                section="" if entry else ("rules" if rules_in(match["text"]) else "reading"),
                source_tasks=one.task_ids,
            )


def harmful_edit(world: World, wanted: Operation, playbook: Playbook, mark: str, draw: Random) -> Operation:
    """A false rule beside the others, a true entry made false, or a true entry removed: each as often, if it can be."""
    true = [entry for entry in playbook.entries if is_true(world, entry)]
    kind = draw.choice((Op.ADD, Op.UPDATE, Op.DELETE) if true else (Op.ADD,))
    if kind is Op.ADD:
        texts = (false_rule(world, mark, draw).text,)
        return wanted.model_copy(update={"op": kind, "entry_ids": (), "texts": texts, "section": "rules"})
    entry = draw.choice(true)
    texts = (false_rule(world, rules_in(entry.text)[0].mark, draw).text,) if kind is Op.UPDATE else ()
    return wanted.model_copy(update={"op": kind, "entry_ids": (entry.id,), "texts": texts, "section": ""})
