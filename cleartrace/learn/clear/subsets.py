"""Which runs are contrasted: every set of k among the n runs of a task, 20 sets of 3 among 6 by default."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from enum import Enum

from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import PASS, Record, Task


class Keep(str, Enum):
    """Sets by what their runs have in common."""

    ALL = "all"
    CONTRASTIVE = "contrastive"
    """At least one full pass and one that is none."""


class Subset(Record):
    """Runs of one task that are looked at together. `id`: task, places of the runs among its first n, and their digest,
    so that equal ids are equal runs however the store grew."""

    id: str
    task: Task
    episodes: tuple[str, ...]
    scores: tuple[float, ...]


def subsets(
    store: EpisodeStore,
    tasks: Iterable[Task],
    *,
    n: int = 6,
    k: int = 3,
    limit: int | None = None,
    keep: Keep = Keep.ALL,
    seed: int = 0,
    agent: str | None = None,
    provider: str | None = None,
) -> list[Subset]:
    """In the order of `tasks`, then of the sets. `k` = 1 is the ablation without contrast.

    Args:
        limit: sets of one task at most, drawn under `seed`.
        agent, provider: only runs made under these conditions; runs of different agents are not comparable.

    Raises:
        ValueError: not 1 <= k <= n.
    """
    if not 1 <= k <= n:
        raise ValueError(f"a set holds between 1 and n = {n} runs, not {k}")
    found = []
    for task in tasks:
        place = {row.id: i for i, row in enumerate(store.group(task, agent=agent, provider=provider)[:n])}
        chosen = store.subsets(task, n=n, k=k, limit=limit, seed=seed, agent=agent, provider=provider)
        for rows in chosen:
            scores = tuple(row.score or 0.0 for row in rows)
            if keep is Keep.ALL or _contrastive(scores):
                places = "-".join(str(place[row.id]) for row in rows)
                ids = tuple(row.id for row in rows)
                digest = hashlib.sha256(" ".join(ids).encode()).hexdigest()[:8]
                found.append(Subset(id=f"{task.id}#{places}.{digest}", task=task, episodes=ids, scores=scores))
    return found


def missing(store: EpisodeStore, tasks: Iterable[Task], n: int, **conditions: str | None) -> list[str]:
    """Tasks with fewer than `n` scored runs: their sets are fewer than asked for."""
    return [task.id for task in tasks if len(store.group(task, **conditions)) < n]


def _contrastive(scores: Sequence[float]) -> bool:
    return len({score >= PASS for score in scores}) == 2
