"""Credit from what agents say they used: free, and not causal.

Runs that cite an entry are runs of tasks where it seemed to apply, and those may be harder or easier than the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

from cleartrace.episodes.types import Episode, PartRef
from cleartrace.evaluate.stats import student_quantile
from cleartrace.learn.credit.intervals import Effect
from cleartrace.learn.credit.types import Credit, Credits, Method

_FEWEST = 6


def citation_credit(parts: Sequence[PartRef], episodes: Sequence[Episode]) -> Credits:
    """Mean score of runs that cite the entry minus that of runs that saw it and do not, with Welch's interval.

    Entries with fewer than six runs of either kind are left out. Only runs that saw the entry at its revision count.

    Args:
        parts: the entries to judge.
    """
    scored = [one for one in episodes if one.outcome.scored]
    credits = []
    for entry in parts:
        cited, silent = _scores(entry, scored)
        if min(len(cited), len(silent)) >= _FEWEST:
            credits.append(
                Credit(
                    entry_id=entry.id,
                    revision=entry.revision,
                    method=Method.CITATIONS,
                    effect=_difference(cited, silent),
                )
            )
    return Credits(credits=tuple(credits), unscored=len(episodes) - len(scored))


def _scores(entry: PartRef, episodes: Sequence[Episode]) -> tuple[list[float], list[float]]:
    """Of runs that cite it, and of those that were shown it and do not."""
    cited: list[float] = []
    silent: list[float] = []
    for one in episodes:
        here = (entry.id, entry.revision)
        if (
            here in {(part.id, part.revision) for part in one.trajectory.context.parts}
            and one.outcome.score is not None
        ):
            used = here in {(part.id, part.revision) for part in one.trajectory.citations}
            (cited if used else silent).append(one.outcome.score)
    return cited, silent


def _difference(some: Sequence[float], others: Sequence[float]) -> Effect:
    mean = fmean(some) - fmean(others)
    parts = [variance(one) / len(one) for one in (some, others)]
    if sum(parts) == 0.0:
        # Scores that never differ show no spread; the smaller side then sets the width, as in the rule of three.
        half = 3.0 / min(len(some), len(others))
    else:
        freedom = sum(parts) ** 2 / sum(
            part**2 / (len(one) - 1) for part, one in zip(parts, (some, others), strict=True)
        )
        half = student_quantile(max(5, math.floor(freedom))) * math.sqrt(sum(parts))
    return Effect(mean=mean, low=max(-1.0, mean - half), high=min(1.0, mean + half), n=min(len(some), len(others)))
