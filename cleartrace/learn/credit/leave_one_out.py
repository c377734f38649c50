"""Each entry left out alone: its effect as the playbook stands now, at one run per draw and entry."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cleartrace.agents.protocol import EpisodeRunner, RunRequest
from cleartrace.context.providers import PlaybookProvider, Without
from cleartrace.learn.credit.draws import Draw
from cleartrace.learn.credit.intervals import difference_interval
from cleartrace.learn.credit.probes import AsProbe
from cleartrace.learn.credit.types import Credit, Credits, Method


async def leave_one_out(
    provider: PlaybookProvider, draws: Sequence[Draw], runner: EpisodeRunner, only: Collection[str] | None = None
) -> Credits:
    """Run each draw with all that the provider shows and once without each entry, under equal seeds.

    Costs (1 + entries) x draws runs. Raises `BudgetExhausted`.

    Args:
        draws: see `credit_draws`.
        only: ids of the entries to measure; None for all that are shown.
    """
    measured = [part for part in provider.parts if only is None or part.id in only]
    sides = [AsProbe(provider, "whole"), *(Without(provider, [part.id]) for part in measured)]
    requests = [RunRequest(draw.task, draw.seed, side) for side in sides for draw in draws]
    scores = [one.outcome.score for one in await runner.run(requests)]
    whole, credits = scores[: len(draws)], []
    for place, part in enumerate(measured, 1):
        reduced = scores[place * len(draws) : (place + 1) * len(draws)]
        pairs = zip(whole, reduced, strict=True)
        found = [one - other for one, other in pairs if one is not None and other is not None]
        if found:
            effect = difference_interval(found)
            credits.append(Credit(entry_id=part.id, revision=part.revision, method=Method.LEAVE_ONE_OUT, effect=effect))
    return Credits(credits=tuple(credits), runs=len(requests), unscored=sum(one is None for one in scores))
