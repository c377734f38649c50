"""A front of playbooks, each best on some task; the next edit starts from one of them (GEPA, arXiv 2507.19457)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from cleartrace.context.playbook.counts import with_counts
from cleartrace.context.playbook.types import Playbook
from cleartrace.episodes.types import Task
from cleartrace.learn.accept.protocol import Bench, Case, Decision, Draw, Standing, Verdict
from cleartrace.learn.accept.side import Side
from cleartrace.llm.protocol import BudgetExhausted

Scores = Mapping[str, float]
"""Task id -> mean score; without the tasks that lost a run."""
Member = tuple[Playbook, Scores]


@dataclass(frozen=True)
class Pareto:
    """Takes a candidate that is strictly the best on at least one task into the front; draws the next playbook from it.

    A member's chance to be drawn is the number of tasks on which it is among the best. All members are run under the
    same seeds, and what one lost is run again when a candidate has it. An edit is kept where the candidate is drawn.
    Memory: `front`, a list of {playbook, scores}.

    Args:
        tasks: those that the front is taken over.
        repeats: runs of each.
        most: members of the front; the ones best on fewest tasks go first.
    """

    tasks: tuple[Task, ...]
    repeats: int = 1
    most: int = 10
    name: str = "pareto"

    def __post_init__(self) -> None:
        if not self.tasks or self.repeats < 1 or self.most < 1:
            raise ValueError("a front needs tasks, at least one run of each, and room for one member")

    async def decide(self, case: Case, bench: Bench, seed: int) -> Decision:
        candidate = bench.apply(case.current, case.operations)
        if candidate == case.current:
            return Decision(playbook=case.current, memory=case.memory)
        sides = _Sides(self._draws(seed), bench)
        try:
            found = await sides.scores(candidate)
            front = [await sides.completed(one, found) for one in _front(case)]
        except BudgetExhausted as stop:
            verdict = _verdict(case, False, Standing.BUDGET_SHORT, f"not judged, so not kept: {stop}")
            return Decision(playbook=case.current, verdicts=(verdict,), runs=sides.runs, memory=case.memory)
        won = [id for id, score in found.items() if all(score > scores.get(id, score) for _, scores in front)]
        if won:
            front = trimmed([*front, (candidate, found)], self.most)
        drawn = _drawn(front, random.Random(f"{seed}:pareto:{case.iteration}"))
        return Decision(
            playbook=drawn,
            verdicts=(_judged(case, won, kept=drawn == candidate),),
            runs=sides.runs,
            memory={"front": _written(front)},
            switched=drawn not in (candidate, case.current),
        )

    def _draws(self, seed: int) -> list[Draw]:
        stream = random.Random(f"{seed}:pareto:runs")
        return [Draw(task, stream.getrandbits(31)) for task in self.tasks for _ in range(self.repeats)]


@dataclass
class _Sides:
    """Runs playbooks on the same draws. `runs`: how many were asked for."""

    draws: Sequence[Draw]
    bench: Bench
    runs: int = 0

    async def scores(self, playbook: Playbook, tasks: Sequence[str] | None = None) -> dict[str, float]:
        """On these tasks, or on all."""
        side = Side(playbook, self.bench)
        draws = [one for one in self.draws if tasks is None or one.task.id in tasks]
        try:
            return {id: fmean(scores) for id, scores in (await side.by_task(draws)).items()}
        finally:
            self.runs += side.runs

    async def completed(self, member: Member, found: Scores) -> Member:
        """With scores on the tasks of `found` that it has none on, as far as they can be had now."""
        playbook, scores = member
        lost = [id for id in found if id not in scores]
        return (playbook, {**scores, **await self.scores(playbook, lost)}) if lost else member


def _front(case: Case) -> list[Member]:
    """Its members with the counts that their entries have by now; at first the playbook in force."""
    front = [(Playbook(**one["playbook"]), one["scores"]) for one in case.memory.get("front", [])]
    return [(with_counts(playbook, case.current), scores) for playbook, scores in front] or [(case.current, {})]


def _drawn(front: Sequence[Member], stream: random.Random) -> Playbook:
    shares = best_on([scores for _, scores in front])
    return stream.choices([playbook for playbook, _ in front], [max(n, 1e-9) for n in shares])[0]


def _judged(case: Case, won: Sequence[str], kept: bool) -> Verdict:
    reason = f"best on {', '.join(won)}" if won else "in the front before" if kept else "best on no task"
    if won and not kept:
        reason += ", but another one was drawn"
    return _verdict(case, kept, Standing.UNTESTED if won or kept else Standing.NO_EFFECT_SHOWN, reason)


def _verdict(case: Case, kept: bool, standing: Standing, reason: str) -> Verdict:
    return Verdict(operations=case.operations, kept=kept, standing=standing, reason=reason)


def best_on(members: Sequence[Scores]) -> list[int]:
    """On how many of the tasks that all have scores on each member is among the best.

    Example:
        >>> best_on([{"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 1.0, "c": 1.0}])
        [1, 2]
    """
    tasks = [id for id in members[0] if all(id in scores for scores in members)]
    return [sum(scores[id] >= max(other[id] for other in members) for id in tasks) for scores in members]


def trimmed(front: list[Member], most: int) -> list[Member]:
    """Without members that another one equals or beats everywhere, and at most so many."""
    kept = [one for n, one in enumerate(front) if not any(_covers(front, other, n) for other in range(len(front)))]
    while len(kept) > most:
        shares = best_on([scores for _, scores in kept])
        kept.pop(shares.index(min(shares)))
    return kept


def _covers(front: Sequence[Member], other: int, one: int) -> bool:
    """On every task that `one` was scored on, and somewhere better; of two equals the earlier stays."""
    theirs, mine = front[other][1], front[one][1]
    if other == one or any(theirs.get(id, -1.0) < score for id, score in mine.items()):
        return False
    return any(theirs[id] > score for id, score in mine.items()) or other < one


def _written(front: Sequence[Member]) -> list[dict[str, Any]]:
    return [{"playbook": playbook.model_dump(mode="json"), "scores": dict(scores)} for playbook, scores in front]
