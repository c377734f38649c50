"""When to say nothing: where context did not help on similar tasks."""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from cleartrace.agents.protocol import EpisodeRunner, RunRequest
from cleartrace.context.provider import ContextProvider
from cleartrace.episodes.types import Record, Task
from cleartrace.learn.credit.draws import Draw
from cleartrace.learn.credit.intervals import Effect, difference_interval
from cleartrace.learn.credit.probes import AsProbe

_WORD = re.compile(r"[^\W\d_]+")


class Measured(Record):
    """What context did for one task: score with it minus score without it, under equal seeds."""

    task: Task
    effect: Effect


async def measure_context(
    draws: Sequence[Draw], runner: EpisodeRunner, with_context: ContextProvider, without: ContextProvider
) -> tuple[Measured, ...]:
    """Two runs for each draw; one record for each task. Probe runs. Raises `BudgetExhausted`."""
    sides = (AsProbe(with_context, "measured"), AsProbe(without, "measured"))
    requests = [RunRequest(draw.task, draw.seed, side) for side in sides for draw in draws]
    scores = [one.outcome.score for one in await runner.run(requests)]
    found: dict[str, tuple[Task, list[float]]] = {}
    for draw, one, other in zip(draws, scores[: len(draws)], scores[len(draws) :], strict=True):
        if one is not None and other is not None:
            found.setdefault(draw.task.id, (draw.task, []))[1].append(one - other)
    return tuple(Measured(task=task, effect=difference_interval(values)) for task, values in found.values())


@dataclass(frozen=True)
class AbstentionRule:
    """Abstain on a task if the mean effect on the most similar measured tasks is not positive; for `Abstaining`.

    Args:
        measured: on train tasks; never on those that are evaluated.
        neighbours: similar tasks that are asked.
        least: effect that must be exceeded.
    """

    measured: tuple[Measured, ...]
    neighbours: int = 5
    least: float = 0.0

    def expected(self, task: Task) -> float | None:
        """Mean effect on similar tasks, weighted by similarity; None where no measured task has a word in common."""
        ranked = heapq.nlargest(
            self.neighbours,
            ((similarity(task, one.task), -n, one.effect.mean) for n, one in enumerate(self.measured)),
        )
        total = sum(weight for weight, _, _ in ranked)
        return fmean([effect * weight for weight, _, effect in ranked]) * len(ranked) / total if total > 0 else None

    @property
    def hash(self) -> str:
        """Changes whenever an answer could."""
        state = [[one.digest for one in self.measured], self.neighbours, self.least]
        return hashlib.sha256(repr(state).encode()).hexdigest()[:16]

    def abstains(self, task: Task) -> bool:
        """Whether to abstain. Where nothing similar was measured, context is given."""
        expected = self.expected(task)
        return expected is not None and expected <= self.least


def similarity(one: Task, other: Task) -> float:
    """Share of the words of both that either has in common with the other (Jaccard), numbers left out.

    Example:
        >>> a, b = (Task(environment="e", id=text, input=text) for text in ("sort red 5", "sort blue 7"))
        >>> round(similarity(a, b), 2)
        0.33
    """
    words, others = (set(_WORD.findall(task.input.lower())) for task in (one, other))
    return len(words & others) / len(words | others) if words | others else 0.0
