"""The playbook that validated best. It is compared task by task, so that runs which were lost make none look better."""

from __future__ import annotations

from collections.abc import Sequence

from cleartrace.context.playbook.types import Playbook
from cleartrace.episodes.types import Episode
from cleartrace.learn.accept.validation import value
from cleartrace.learn.rcl.parts import Parts
from cleartrace.learn.rcl.runs import validate
from cleartrace.learn.rcl.state import Best


async def challenged(
    best: Best | None, playbook: Playbook, iteration: int, runs: Sequence[Episode], parts: Parts, seed: int
) -> Best | None:
    """`best`, or this playbook where it is strictly better on the tasks that `best` was scored on.

    A run lost by the playbook counts as failed there; tasks that `best` lost and the playbook did not are run again.

    Args:
        iteration: how many iterations had edited the playbook.
        runs: its validation.
    """
    scores = _scores(runs)
    if not scores:
        return best
    if best is None:
        return _best(playbook, iteration, scores)
    best = await _completed(best, set(scores), parts, seed)
    if best.value is None or value([scores.get(id, 0.0) for id in best.scores]) <= best.value:
        return best
    return _best(playbook, iteration, scores)


async def _completed(best: Best, wanted: set[str], parts: Parts, seed: int) -> Best:
    """With scores on those of the wanted tasks that it has none on, as far as they can be had now."""
    known = {one.id: best.scores[one.id] for one in parts.validation if one.id in best.scores}
    lost = [one for one in parts.validation if one.id in wanted and one.id not in known]
    runs = await validate(parts.runner, parts.provide(best.playbook), lost, seed) if lost else []
    return _best(best.playbook, best.iteration, known | _scores(runs))


def _best(playbook: Playbook, iteration: int, scores: dict[str, float]) -> Best:
    measured = value(list(scores.values())) if scores else None
    return Best(playbook=playbook, value=measured, iteration=iteration, scores=scores)


def _scores(runs: Sequence[Episode]) -> dict[str, float]:
    return {one.task_id: one.outcome.score for one in runs if one.outcome.score is not None}
