"""A playbook brought under a budget of tokens; what went is always recorded (A6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.context.playbook.apply import NOBODY, Applied, apply, without
from cleartrace.context.playbook.counts import prune
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.render import Count, View, best_first, indented, render
from cleartrace.context.playbook.rules import Rules
from cleartrace.context.playbook.similar import NEAR, near_groups
from cleartrace.context.playbook.text import same
from cleartrace.context.playbook.types import Entry, Playbook, Source
from cleartrace.llm.protocol import LLM, Finish, Message, Request, Role
from cleartrace.llm.tokens import count_tokens

DIFFERENT = "DIFFERENT"
_SYSTEM = f"""You keep a list of advice short. You are shown entries that seem to say the same.

Write one entry that can stand for all of them. Keep every condition, name, number and exception that any of them has, \
say each only once, and add nothing. Write it as an instruction, without a heading and without ids.

If they do not say the same, or if they contradict each other, reply with the one word {DIFFERENT}."""


@dataclass(frozen=True)
class Removed:
    """An entry that went, as it was."""

    entry: Entry
    reason: str


@dataclass(frozen=True)
class Compacted:
    """`tokens`: of the playbook as the agent now reads it."""

    playbook: Playbook
    removed: tuple[Removed, ...] = ()
    tokens: int = 0


def compact(playbook: Playbook, cap: int, count: Count = count_tokens, prune_threshold: int = 0) -> Compacted:
    """Remove entries until what the agent reads has at most `cap` tokens; a playbook that fits stays as it is.

    First go entries that pruning at `prune_threshold` would take, then those that repeat another one's text, then those
    of the least value (`render.best_first`) for which there is no room.
    """
    removed: list[Removed] = []
    steps = (
        lambda book: [Removed(entry, _worth("pruned", entry)) for entry in prune(book, prune_threshold).removed],
        _repeated,
        lambda book: _no_room(book, cap, count),
    )
    for step in steps:
        rendered = render(playbook, View.AGENT, None, count)
        if rendered.tokens <= cap:
            return Compacted(playbook, tuple(removed), rendered.tokens)
        gone = step(playbook)
        removed += gone
        playbook = without(playbook, {one.entry.id for one in gone})
    return Compacted(playbook, tuple(removed), render(playbook, View.AGENT, None, count).tokens)


def _repeated(playbook: Playbook) -> list[Removed]:
    kept: dict[str, Entry] = {}
    for entry in best_first(playbook.entries):
        kept.setdefault(same(entry.text), entry)
    twins = [(entry, kept[same(entry.text)]) for entry in playbook.entries]
    return [Removed(entry, f"the same text is in {twin.id}") for entry, twin in twins if entry.id != twin.id]


def _no_room(playbook: Playbook, cap: int, count: Count) -> list[Removed]:
    left_out = {part.id for part in render(playbook, View.AGENT, cap, count).left_out}
    gone = [entry for entry in playbook.entries if entry.id in left_out]
    return [Removed(entry, _worth(f"no room under {cap} tokens", entry)) for entry in gone]


def _worth(reason: str, entry: Entry) -> str:
    return f"{reason}: {entry.helpful} times helpful, {entry.harmful} times harmful"


async def merge_similar(
    playbook: Playbook,
    llm: LLM,
    seed: int = 0,
    rules: Rules | None = None,
    least: float = NEAR,
    source: Source = NOBODY,
) -> Applied:
    """Let a model join near duplicates, each group into its first entry, by MERGE under the usual rules.

    A group of which the model says that its entries differ stays. Raises `LLMError`.
    """
    operations = []
    for number, group in enumerate(near_groups(playbook.entries, least)):
        text = await _joined(llm, group, seed + number)
        if text:
            ids = tuple(entry.id for entry in group)
            operations.append(Operation(op=Op.MERGE, entry_ids=ids, texts=(text,), rationale="near duplicates"))
    return apply(playbook, operations, rules, source)


async def _joined(llm: LLM, group: Sequence[Entry], seed: int) -> str:
    shown = "\n".join(f"- {indented(entry.text)}" for entry in group)
    messages = (Message(role="system", content=_SYSTEM), Message(role="user", content=shown))
    reply = await llm.complete(Request(role=Role.MUTATOR, messages=messages, seed=seed))
    text = reply.text.strip()
    unusable = reply.finish is not Finish.STOP or text.strip(" .*`").upper() == DIFFERENT
    return "" if unusable else text
