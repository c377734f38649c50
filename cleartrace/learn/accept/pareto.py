"""A front of playbooks, each best on some task; the next edit starts from one of them (GEPA, arXiv 2507.19457)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cleartrace.context.playbook.types import Playbook
from cleartrace.episodes.types import Task
from cleartrace.learn.accept.protocol import Bench, Case, Decision, Draw, Standing, Verdict
from cleartrace.learn.accept.side import Side
from cleartrace.llm.protocol import BudgetExhausted

Scores = Mapping[str, float]
"""Task id -> mean score."""


@dataclass(frozen=True)
class Pareto:
    """Keeps a candidate that is strictly the best on at least one task; draws the next playbook from the front.

    A member's chance to be drawn is the number of tasks on which it is among the best. All members are run under the
    same seeds. Memory: `front`, a list of {playbook, scores}.

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
        front = [(Playbook(**one["playbook"]), one["scores"]) for one in case.memory.get("front", [])]
        runs = 0
        try:
            if not front:
                scores, n = await self._scores(case.current, bench, seed)
                front, runs = [(case.current, scores)], n
            found, n = await self._scores(candidate, bench, seed)
        except BudgetExhausted as stop:
            verdict = self._verdict(case, False, Standing.BUDGET_SHORT, f"not judged, so not kept: {stop}")
            return Decision(playbook=case.current, verdicts=(verdict,), runs=runs, memory=case.memory)
        won = [id for id, score in found.items() if all(score > scores.get(id, 0.0) for _, scores in front)]
        if won:
            front = trimmed([*front, (candidate, found)], self.most)
        shares = best_on([scores for _, scores in front])
        stream = random.Random(f"{seed}:pareto:{case.iteration}")
        drawn = stream.choices([playbook for playbook, _ in front], [max(n, 1e-9) for n in shares])[0]
        reason = f"best on {', '.join(won)}" if won else "best on no task"
        standing = Standing.UNTESTED if won else Standing.NO_EFFECT_SHOWN
        kept = self._verdict(case, bool(won), standing, reason)
        return Decision(playbook=drawn, verdicts=(kept,), runs=runs + n, memory={"front": _written(front)})

    async def _scores(self, playbook: Playbook, bench: Bench, seed: int) -> tuple[dict[str, float], int]:
        stream = random.Random(f"{seed}:pareto:runs")
        draws = [Draw(task, stream.getrandbits(31)) for task in self.tasks for _ in range(self.repeats)]
        side = Side(playbook, bench)
        by_task: dict[str, list[float]] = {}
        for draw, score in zip(draws, await side.scores(draws), strict=True):
            if score is not None:
                by_task.setdefault(draw.task.id, []).append(score)
        return {id: sum(scores) / len(scores) for id, scores in by_task.items()}, side.runs

    def _verdict(self, case: Case, kept: bool, standing: Standing, reason: str) -> Verdict:
        return Verdict(operations=case.operations, kept=kept, standing=standing, reason=reason)


def best_on(members: Sequence[Scores]) -> list[int]:
    """On how many tasks each member is among the best.

    Example:
        >>> best_on([{"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 1.0}])
        [1, 2]
    """
    tasks = sorted({id for scores in members for id in scores})
    top = {id: max(scores.get(id, 0.0) for scores in members) for id in tasks}
    return [sum(id in scores and scores[id] >= top[id] for id in tasks) for scores in members]


def trimmed(front: list[tuple[Playbook, Any]], most: int) -> list[tuple[Playbook, Any]]:
    """Without members that another one equals or beats everywhere, and at most so many."""
    kept = [one for n, one in enumerate(front) if not any(_covers(front, other, n) for other in range(len(front)))]
    while len(kept) > most:
        shares = best_on([scores for _, scores in kept])
        kept.pop(shares.index(min(shares)))
    return kept


def _covers(front: Sequence[tuple[Playbook, Any]], other: int, one: int) -> bool:
    """Of two equals the earlier stays."""
    if other == one:
        return False
    theirs, mine = front[other][1], front[one][1]
    if any(theirs.get(id, 0.0) < score for id, score in mine.items()):
        return False
    return any(score > mine.get(id, 0.0) for id, score in theirs.items()) or other < one


def _written(front: Sequence[tuple[Playbook, Any]]) -> list[dict[str, Any]]:
    return [{"playbook": playbook.model_dump(mode="json"), "scores": dict(scores)} for playbook, scores in front]
