"""Entries dropped at random: the effects of all of them from the same runs.

Each draw of a task and a seed is run several times, every time without a random part of the entries. As what is left
out is drawn independently for every run and entry, the least-squares coefficient of "entry present", with a constant
for each draw, estimates the entry's effect averaged over what else is left out. Its interval is Student's, from
variances that hold whatever the runs of a draw have in common (clustered by draw; Cameron and Miller, J. Human
Resources 50:2, 2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cleartrace.agents.protocol import EpisodeRunner, RunRequest
from cleartrace.context.providers import Dropout, PlaybookProvider
from cleartrace.episodes.types import Episode, PartRef
from cleartrace.evaluate.stats import student_quantile
from cleartrace.learn.credit.draws import Draw
from cleartrace.learn.credit.intervals import Effect
from cleartrace.learn.credit.types import Credit, Credits, Method


async def dropout(
    provider: PlaybookProvider,
    draws: Sequence[Draw],
    runner: EpisodeRunner,
    *,
    rate: float = 0.3,
    runs_each: int = 4,
    seed: int = 0,
) -> Credits:
    """Effects of all entries that the provider shows, from `runs_each` x draws runs. Raises `BudgetExhausted`.

    Args:
        rate: chance of an entry to be left out. A low one is nearer to the playbook as it stands and needs more runs.

    Raises:
        ValueError: `rate` is not inside (0, 1), or `runs_each` is below 2.
    """
    if runs_each < 2:
        raise ValueError(f"entries are told apart by at least 2 runs of each draw, got {runs_each}")
    sides = [Dropout(provider, rate, f"{seed}:credit:dropout:{n}") for n in range(runs_each)]
    episodes = await runner.run([RunRequest(draw.task, draw.seed, side) for draw in draws for side in sides])
    return dropout_credit(provider.parts, episodes)


def dropout_credit(parts: Sequence[PartRef], episodes: Sequence[Episode]) -> Credits:
    """Effects from runs under dropout, for example those of a store. Runs of one task and seed are one cluster.

    Args:
        parts: entries that could be shown.
    """
    scored = [one for one in episodes if one.outcome.scored]
    numbers: dict[tuple[str, int], int] = {}
    cluster = [numbers.setdefault((one.trajectory.task_id, one.trajectory.seed), len(numbers)) for one in scored]
    shown = [{(part.id, part.revision) for part in one.trajectory.context.parts} for one in scored]
    present = [[float((part.id, part.revision) in there) for part in parts] for there in shown]
    effects = clustered_effects(
        np.array(present, dtype=float).reshape(len(scored), len(parts)),
        np.array([one.outcome.score for one in scored], dtype=float),
        np.array(cluster, dtype=int),
    )
    credits = tuple(
        Credit(entry_id=part.id, revision=part.revision, method=Method.DROPOUT, effect=effect)
        for part, effect in zip(parts, effects, strict=True)
        if effect is not None
    )
    return Credits(credits=credits, runs=len(episodes), unscored=len(episodes) - len(scored))


def clustered_effects(present: np.ndarray, scores: np.ndarray, cluster: np.ndarray) -> list[Effect | None]:
    """Effect of each column of `present` on `scores`, with a constant for each cluster.

    Args:
        present: [runs, entries], 1 where the entry was in the context.
        scores: [runs].
        cluster: [runs], equal numbers for runs of one draw.

    Returns: None for an entry whose presence never varied within a cluster, and for all where the clusters are too few
        to tell the entries apart.
    """
    clusters, places = np.unique(cluster, return_inverse=True)
    x, y = _centred(present, places, len(clusters)), _centred(scores[:, None], places, len(clusters))[:, 0]
    varies = np.asarray((np.abs(x) > 1e-12).any(axis=0)) if len(x) else np.zeros(present.shape[1], dtype=bool)
    x = x[:, varies]
    free = len(y) - len(clusters) - x.shape[1]
    if not x.shape[1] or len(clusters) < max(6, x.shape[1] + 2) or free < 1 or np.linalg.matrix_rank(x) < x.shape[1]:
        return [None] * present.shape[1]
    bread = np.linalg.inv(x.T @ x)
    beta = bread @ (x.T @ y)
    pull = np.zeros((len(clusters), x.shape[1]))
    np.add.at(pull, places, x * (y - x @ beta)[:, None])
    correction = len(clusters) / (len(clusters) - 1) * (len(y) - 1) / free
    error = np.sqrt(np.diag(bread @ (pull.T @ pull) @ bread) * correction)
    half = student_quantile(len(clusters) - 1) * error
    found = iter(zip(beta, half, strict=True))
    return [_effect(*next(found), len(clusters)) if one else None for one in varies.tolist()]


def _centred(values: np.ndarray, places: np.ndarray, n: int) -> np.ndarray:
    """Each column minus its mean within the cluster."""
    sums = np.zeros((n, values.shape[1]))
    np.add.at(sums, places, values)
    counts = np.bincount(places, minlength=n)
    return values - (sums / counts[:, None])[places] if len(values) else values


def _effect(beta: float, half: float, n: int) -> Effect:
    low, high = max(-1.0, beta - half), min(1.0, beta + half)
    return Effect(mean=float(beta), low=float(low), high=float(high), n=n)
