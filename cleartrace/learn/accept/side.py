"""One side of a comparison: a playbook and its scores so far."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from cleartrace.context.playbook.types import Playbook
from cleartrace.learn.accept.protocol import Bench, Draw


class Side:
    """Asks for each run once. `runs`: how many were asked for."""

    def __init__(self, playbook: Playbook, bench: Bench) -> None:
        self.playbook, self._bench = playbook, bench
        self._known: dict[tuple[str, int], float | None] = {}
        self.runs = 0

    def missing(self, draws: Sequence[Draw]) -> list[Draw]:
        return [draw for draw in draws if (draw.task.id, draw.seed) not in self._known]

    async def scores(self, draws: Sequence[Draw]) -> list[float | None]:
        """Raises `BudgetExhausted`."""
        if missing := self.missing(draws):
            scores = await self._bench.scores(self.playbook, missing)
            self.runs += len(missing)
            self._known.update({(draw.task.id, draw.seed): score for draw, score in zip(missing, scores, strict=True)})
        return [self._known[draw.task.id, draw.seed] for draw in draws]

    async def by_task(self, draws: Sequence[Draw]) -> dict[str, list[float]]:
        """Scores of the tasks none of whose runs was lost. Raises `BudgetExhausted`."""
        found: dict[str, list[float | None]] = {}
        for draw, score in zip(draws, await self.scores(draws), strict=True):
            found.setdefault(draw.task.id, []).append(score)
        whole = {task: [one for one in scores if one is not None] for task, scores in found.items()}
        return {task: scores for task, scores in whole.items() if len(scores) == len(found[task])}


def differences(with_edit: Sequence[float | None], without: Sequence[float | None]) -> list[float]:
    """Of the pairs that have both scores."""
    pairs = zip(with_edit, without, strict=True)
    return [one - other for one, other in pairs if one is not None and other is not None]


def regressions(
    draws: Sequence[Draw],
    with_edit: Sequence[float | None],
    without: Sequence[float | None],
    anchors: Sequence[str],
) -> tuple[str, ...]:
    """Ids of anchors with a lower mean with the edit than without it, worst first."""
    changes: dict[str, list[float]] = {}
    for draw, one, other in zip(draws, with_edit, without, strict=True):
        if draw.task.id in anchors and one is not None and other is not None:
            changes.setdefault(draw.task.id, []).append(one - other)
    means = {task: fmean(values) for task, values in changes.items()}
    return tuple(sorted((task for task, mean in means.items() if mean < 0), key=lambda task: (means[task], task)))
