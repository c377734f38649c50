"""Paired acceptance (ours): an edit stays if runs with it beat runs without it, on equal tasks under equal seeds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from cleartrace.context.playbook.ops import Operation
from cleartrace.episodes.types import Task
from cleartrace.learn.accept.betting import betting_interval
from cleartrace.learn.accept.draws import dealt_draws, paired_draws
from cleartrace.learn.accept.protocol import Bench, Case, Decision, Draw, Standing, Verdict
from cleartrace.learn.accept.rule import Criterion, Ruling, rule
from cleartrace.learn.accept.side import Side, differences, regressions
from cleartrace.learn.credit.intervals import difference_interval
from cleartrace.llm.protocol import BudgetExhausted


@dataclass(frozen=True)
class Paired:
    """Keeps an edit that is shown to help; on a tie, the smaller context (spec 8 item 2, design rule 16).

    A candidate that is not kept is never in force: dropping it is the rollback.

    Args:
        apart: each edit is judged on top of those kept before it. Off: all edits of a proposal stand or fall together.
        affected_share: share of the pairs that are run on affected tasks; the others are run on anchors.
        affected_share_to_shrink: the same for an edit that makes the context smaller, whose harm other tasks show.
        round: pairs run between two looks.
        max_runs: agent runs of one decision, 0 for any number. Edits that it does not reach are dropped, and say so.
    """

    test: Criterion = field(default_factory=Criterion)
    apart: bool = True
    affected_share: float = 0.75
    affected_share_to_shrink: float = 0.25
    round: int = 4
    max_runs: int = 0
    name: str = "paired"

    async def decide(self, case: Case, bench: Bench, seed: int) -> Decision:
        """Side `current` carries its scores from edit to edit, so that what was run once is not run again."""
        edits = [(one,) for one in case.operations] if self.apart else [case.operations] if case.operations else []
        current, verdicts, spent = Side(case.current, bench), [], 0
        for edit in edits:
            left = self.max_runs - spent - current.runs if self.max_runs else None
            trial = _Trial(self, edit, case, current, Side(bench.apply(current.playbook, edit), bench), left)
            verdict = await trial.verdict(bench, seed)
            verdicts.append(verdict)
            if verdict.kept:
                spent += current.runs
                current = trial.candidate
            else:
                spent += trial.candidate.runs
        return Decision(
            playbook=current.playbook, verdicts=tuple(verdicts), runs=spent + current.runs, memory=case.memory
        )


@dataclass
class _Trial:
    """One edit being judged. `runs_left`: None for any number."""

    policy: Paired
    edit: tuple[Operation, ...]
    case: Case
    current: Side
    candidate: Side
    runs_left: int | None
    draws: list[Draw] = field(default_factory=list)

    async def verdict(self, bench: Bench, seed: int) -> Verdict:
        if self.candidate.playbook == self.current.playbook:
            return self._says(Ruling(False, Standing.UNTESTED, "the edit changes nothing, or was refused"))
        test = self.policy.test
        saved = bench.size(self.current.playbook) - bench.size(self.candidate.playbook)
        planned = self._plan(seed, shrinks=True)
        shrinks = saved >= test.saving and len({draw.task.id for draw in planned}) >= test.tasks_to_shrink
        if not shrinks:
            planned = self._plan(seed, shrinks=False)
        if not planned:
            return self._says(Ruling(False, Standing.NO_EFFECT_SHOWN, "there is no task to test it on"))
        affordable = self._affordable(planned)
        needed = len(planned) if shrinks or not test.sequential else test.fewest
        if affordable < needed:
            return self._says(_short(f"{affordable} pairs can be paid and {needed} are needed"))
        try:
            return await self._run(planned[:affordable], shrinks)
        except BudgetExhausted as stop:
            return self._says(_short(str(stop)))

    async def _run(self, planned: Sequence[Draw], shrinks: bool) -> Verdict:
        step = self.policy.round if self.policy.test.sequential else len(planned)
        while True:
            now = planned[len(self.draws) : len(self.draws) + step]
            await self.current.scores(now)
            await self.candidate.scores(now)
            self.draws += now
            with_edit, without = await self.candidate.scores(self.draws), await self.current.scores(self.draws)
            found, left = differences(with_edit, without), len(planned) - len(self.draws)
            may_tie = shrinks and (
                left > 0 or self._scored_tasks(with_edit, without) >= self.policy.test.tasks_to_shrink
            )
            ruling = rule(found, left, may_tie, self.policy.test)
            if ruling:
                anchors = [task.id for task in self.case.anchors]
                return self._says(ruling, found, regressions(self.draws, with_edit, without, anchors))

    def _scored_tasks(self, with_edit: Sequence[float | None], without: Sequence[float | None]) -> int:
        """How many tasks have a pair."""
        pairs = zip(self.draws, with_edit, without, strict=True)
        return len({draw.task.id for draw, one, other in pairs if one is not None and other is not None})

    def _plan(self, seed: int, shrinks: bool) -> list[Draw]:
        """Equal for all edits of a decision with the same affected tasks, so that their runs without the edit are."""
        policy = self.policy
        named = {task for one in self.edit for task in one.source_tasks}
        affected = [task for task in self.case.affected if task.id in named] or list(self.case.affected)
        stream = random.Random(f"{seed}:accept:{self.case.iteration}")
        anchors = _without(self.case.anchors, affected)
        if shrinks:
            n, share = policy.test.pairs_to_shrink, policy.affected_share_to_shrink
            return dealt_draws(affected, anchors, n, share, stream)
        return paired_draws(affected, anchors, policy.test.pairs, policy.affected_share, stream)

    def _affordable(self, planned: Sequence[Draw]) -> int:
        if self.runs_left is None:
            return len(planned)
        cost = 0
        for pairs, draw in enumerate(planned):
            cost += 1 + len(self.current.missing([draw]))
            if cost > self.runs_left:
                return pairs
        return len(planned)

    def _says(self, ruling: Ruling, found: Sequence[float] = (), worse: tuple[str, ...] = ()) -> Verdict:
        measured = {}
        if found:
            fixed = difference_interval(found)
            low, high = (
                betting_interval(found, self.policy.test.alpha)
                if self.policy.test.sequential
                else (fixed.low, fixed.high)
            )
            measured = {"effect": fixed.mean, "low": low, "high": high, "pairs": len(found)}
        return Verdict(
            operations=self.edit,
            kept=ruling.keep,
            standing=ruling.standing,
            reason=ruling.reason,
            regressions=worse,
            **measured,
        )


def _short(why: str) -> Ruling:
    return Ruling(False, Standing.BUDGET_SHORT, f"not judged, so not kept: {why}")


def _without(tasks: Sequence[Task], others: Sequence[Task]) -> list[Task]:
    taken = {task.id for task in others}
    return [task for task in tasks if task.id not in taken]
