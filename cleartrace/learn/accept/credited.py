"""Pruning by measured credit (ours): blamed entries are left out on trial, and go if that costs nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.episodes.types import Task
from cleartrace.learn.accept.draws import dealt_draws
from cleartrace.learn.accept.protocol import AcceptancePolicy, Bench, Case, Decision, Draw, Standing, Verdict
from cleartrace.learn.accept.side import Side, differences
from cleartrace.learn.credit.intervals import difference_interval
from cleartrace.llm.protocol import BudgetExhausted


@dataclass(frozen=True)
class Credited:
    """Another policy, and after it a trial of every suspect entry: one with harmful marks ahead of helpful ones.

    A suspect is left out under equal seeds; it goes where its measured effect is not positive, so a tie keeps the
    smaller context; where most pairs were lost, it stays. It is tried again only when it has been rewritten or blamed
    again. Memory: `inner`, of the other
    policy; `tried`, harmful marks at the last trial by entry and revision.

    Args:
        tasks: train tasks on which suspects are tried.
        margin: marks ahead that make a suspect.
        draws: runs of either side of a trial.
    """

    inner: AcceptancePolicy
    tasks: tuple[Task, ...]
    margin: int = 2
    draws: int = 24

    def __post_init__(self) -> None:
        if not self.tasks or self.margin < 1 or self.draws < 2:
            raise ValueError("trials need tasks, a margin of at least 1 and at least 2 draws")

    @property
    def name(self) -> str:
        return f"{self.inner.name} and credit"

    async def decide(self, case: Case, bench: Bench, seed: int) -> Decision:
        inner = Case(**{**vars(case), "memory": case.memory.get("inner", {})})
        decision = await self.inner.decide(inner, bench, seed)
        tried, verdicts = dict(case.memory.get("tried", {})), list(decision.verdicts)
        side, runs = Side(decision.playbook, bench), decision.runs
        draws = self._draws(seed, case.iteration)
        for entry in self._suspects(decision.playbook, tried):
            try:
                verdict, other = await self._trial(side, entry, bench, draws)
            except BudgetExhausted as stop:
                verdicts.append(_verdict(entry, False, Standing.BUDGET_SHORT, f"not tried: {stop}"))
                break
            tried[_key(entry)] = entry.harmful
            verdicts.append(verdict)
            runs += side.runs if verdict.kept else other.runs
            side = other if verdict.kept else side
        memory = {"inner": decision.memory, "tried": tried}
        return Decision(
            playbook=side.playbook,
            verdicts=tuple(verdicts),
            runs=runs + side.runs,
            memory=memory,
            switched=decision.switched,
        )

    def _suspects(self, playbook: Playbook, tried: dict[str, int]) -> list[Entry]:
        return [
            entry
            for entry in playbook.entries
            if entry.harmful - entry.helpful >= self.margin and tried.get(_key(entry), -1) < entry.harmful
        ]

    def _draws(self, seed: int, iteration: int) -> list[Draw]:
        stream = random.Random(f"{seed}:credited:{iteration}")
        return dealt_draws(self.tasks, (), self.draws, 1.0, stream)

    async def _trial(self, side: Side, entry: Entry, bench: Bench, draws: Sequence[Draw]) -> tuple[Verdict, Side]:
        """Effect of leaving the entry out."""
        other = Side(bench.apply(side.playbook, (_deletion(entry),)), bench)
        found = differences(await other.scores(draws), await side.scores(draws))
        if other.playbook == side.playbook:
            return _verdict(entry, False, Standing.NO_EFFECT_SHOWN, "it cannot be left out"), other
        if 2 * len(found) < len(draws):
            lost = f"not judged, so it stays: {len(draws) - len(found)} of {len(draws)} pairs were lost"
            return _verdict(entry, False, Standing.NO_EFFECT_SHOWN, lost), other
        effect = difference_interval(found)
        goes = effect.mean >= 0
        standing = Standing.VALIDATED if effect.low > 0 else Standing.HARMFUL if effect.high < 0 else None
        verdict = _verdict(
            entry, goes, standing or Standing.NO_EFFECT_SHOWN, f"{len(found)} pairs without it against with it"
        )
        measured = {"effect": effect.mean, "low": effect.low, "high": effect.high, "pairs": effect.n}
        return verdict.model_copy(update=measured), other


def _key(entry: Entry) -> str:
    return f"{entry.id}:{entry.revision}"


def _deletion(entry: Entry) -> Operation:
    return Operation(op=Op.DELETE, entry_ids=(entry.id,), rationale="blamed by reflections, then tried")


def _verdict(entry: Entry, kept: bool, standing: Standing, reason: str) -> Verdict:
    return Verdict(operations=(_deletion(entry),), kept=kept, standing=standing, reason=reason)
