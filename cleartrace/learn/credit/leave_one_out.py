"""Each entry left out alone: its effect as the playbook stands now, at one run per draw and entry."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cleartrace.agents.protocol import EpisodeRunner
from cleartrace.context.playbook.types import Playbook
from cleartrace.learn.credit.draws import Draw
from cleartrace.learn.credit.intervals import difference_interval
from cleartrace.learn.credit.probes import ProviderOf, probe_runs
from cleartrace.learn.credit.types import Credit, Credits, Method


async def leave_one_out(
    playbook: Playbook,
    draws: Sequence[Draw],
    runner: EpisodeRunner,
    provide: ProviderOf,
    only: Collection[str] | None = None,
) -> Credits:
    """Run each draw with the whole playbook and once without each entry, under equal seeds.

    Costs (1 + entries) x draws runs. Raises `BudgetExhausted`.

    Args:
        draws: see `credit_draws`.
        only: ids of the entries to measure; None for all.
    """
    measured = [entry for entry in playbook.entries if only is None or entry.id in only]
    requests = probe_runs(provide, playbook, (), draws)
    for entry in measured:
        requests += probe_runs(provide, playbook, (entry.id,), draws)
    scores = [one.outcome.score for one in await runner.run(requests)]
    whole, credits = scores[: len(draws)], []
    for place, entry in enumerate(measured, 1):
        reduced = scores[place * len(draws) : (place + 1) * len(draws)]
        pairs = zip(whole, reduced, strict=True)
        found = [one - other for one, other in pairs if one is not None and other is not None]
        if found:
            effect = difference_interval(found)
            credits.append(
                Credit(entry_id=entry.id, revision=entry.revision, method=Method.LEAVE_ONE_OUT, effect=effect)
            )
    return Credits(credits=tuple(credits), runs=len(requests), unscored=sum(one is None for one in scores))
