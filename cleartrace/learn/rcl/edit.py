"""From reflections to the next playbook: count, prune, ask for edits, make them, fit the budget, let a policy judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.agents.protocol import EpisodeRunner, RunRequest
from cleartrace.context.playbook.apply import Rejected, apply
from cleartrace.context.playbook.compact import compact
from cleartrace.context.playbook.counts import Tally, count, prune
from cleartrace.context.playbook.leak import LeakGuard
from cleartrace.context.playbook.ops import Operation
from cleartrace.context.playbook.render import render
from cleartrace.context.playbook.rules import Rules
from cleartrace.context.playbook.types import Entry, Playbook, Source
from cleartrace.learn.accept import Draw
from cleartrace.learn.protocol import Reflection
from cleartrace.learn.rcl.config import RclConfig
from cleartrace.learn.rcl.parts import Provide


@dataclass(frozen=True)
class Assessed:
    """The playbook with its counts brought up to date, and what that took."""

    playbook: Playbook
    tallies: dict[str, Tally]
    unknown: tuple[str, ...]
    pruned: tuple[Entry, ...]


def assess(playbook: Playbook, reflections: Sequence[Reflection], threshold: int) -> Assessed:
    """Count the verdicts, then drop what did harm too often, before anybody edits."""
    counted = count(playbook, [verdict for one in reflections for verdict in one.verdicts])
    kept = prune(counted.playbook, threshold)
    return Assessed(kept.playbook, counted.tallies, counted.unknown, kept.removed)


def rules_of(config: RclConfig) -> Rules:
    """Limits of edits."""
    return Rules(add_only=config.add_only, cap_chars=config.entry_char_cap)


def fit(playbook: Playbook, budget: int) -> Playbook:
    """The playbook within so many tokens, as agents see it; 0 for no limit (R18)."""
    return compact(playbook, budget).playbook if budget else playbook


def guarded(
    operations: Sequence[Operation], guard: LeakGuard | None
) -> tuple[tuple[Operation, ...], tuple[Rejected, ...]]:
    """Operations that give nothing away, and the others with what each says."""
    clean: list[Operation] = []
    refused: list[Rejected] = []
    for one in operations:
        leak = next((leak for text in one.texts for leak in guard.leaks(text)), None) if guard else None
        if leak is None:
            clean.append(one)
        else:
            reason = f"the text gives away the answer of {leak.secret.task_id}: {leak.found}"
            refused.append(Rejected(operation=one, reason=reason))
    return tuple(clean), tuple(refused)


@dataclass(frozen=True)
class LoopBench:
    """What a policy of acceptance may do: `accept.Bench`, by the loop's own rules."""

    runner: EpisodeRunner
    provide: Provide
    rules: Rules
    source: Source
    budget: int = 0

    def apply(self, playbook: Playbook, operations: Sequence[Operation]) -> Playbook:
        return fit(apply(playbook, operations, self.rules, self.source).playbook, self.budget)

    def gone(self, before: Playbook, kept: Sequence[Operation], after: Playbook) -> tuple[Entry, ...]:
        """Entries that the kept edits left, and that are not there all the same."""
        there = {entry.id for entry in after.entries}
        edited = apply(before, kept, self.rules, self.source).playbook
        return tuple(entry for entry in edited.entries if entry.id not in there)

    def size(self, playbook: Playbook) -> int:
        return render(playbook).tokens

    async def scores(self, playbook: Playbook, draws: Sequence[Draw]) -> list[float | None]:
        provider = self.provide(playbook)
        episodes = await self.runner.run([RunRequest(one.task, one.seed, provider) for one in draws])
        return [one.outcome.score for one in episodes]
