"""Which runs are contrasted: every set of k among the n runs of a task, 20 sets of 3 among 6 by default."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from enum import Enum
from math import comb

from cleartrace.episodes.index import Row
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Episode, Record, Task
from cleartrace.episodes.view import seen_lines


class Keep(str, Enum):
    """Sets by what their runs have in common."""

    ALL = "all"
    CONTRASTIVE = "contrastive"
    """At least one full pass and one that is none."""


class Subset(Record):
    """Runs of one task that are looked at together.

    `id`: task, and a digest of the runs' seeds and of all that a reader may see of them: equal ids are equal material,
    however the store grew, and whatever time the runs took.
    """

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
    order: Sequence[int] = (),
    limit: int | None = None,
    keep: Keep = Keep.ALL,
    seed: int = 0,
    agent: str | None = None,
    provider: str | None = None,
) -> list[Subset]:
    """In the order of `tasks`, then of the sets. `k` = 1 is the ablation without contrast.

    Args:
        order: of seeds in which the runs were made: the first n are the same when more are made later.
        limit: sets of one task at most, drawn under `seed` among those that are kept.
        agent, provider: only runs made under these conditions; runs of different agents are not comparable.

    Raises:
        ValueError: not 1 <= k <= n.
    """
    if not 1 <= k <= n:
        raise ValueError(f"a set holds between 1 and n = {n} runs, not {k}")
    found = []
    for task in tasks:
        sets = store.subsets(task, n=n, k=k, order=order, agent=agent, provider=provider)
        kept = [rows for rows in sets if keep is Keep.ALL or _contrastive(rows)]
        chosen = _drawn(kept, limit, random.Random(f"{seed}:subsets:{task.environment}:{task.id}"))
        seen = {id: _seen(store.get(id)) for id in dict.fromkeys(row.id for rows in chosen for row in rows)}
        for rows in chosen:
            ids = tuple(row.id for row in rows)
            digest = hashlib.sha256(" ".join(seen[id] for id in ids).encode()).hexdigest()[:12]
            scores = tuple(row.score or 0.0 for row in rows)
            found.append(Subset(id=f"{task.id}#{digest}", task=task, episodes=ids, scores=scores))
    return found


def possible(
    store: EpisodeStore, tasks: Iterable[Task], n: int, k: int, *, agent: str | None = None, provider: str | None = None
) -> int:
    """How many sets there are before any is left out."""
    return sum(comb(min(len(store.group(task, agent=agent, provider=provider)), n), k) for task in tasks)


def missing(
    store: EpisodeStore, tasks: Iterable[Task], n: int, *, agent: str | None = None, provider: str | None = None
) -> list[str]:
    """Tasks with fewer than `n` scored runs: their sets are fewer than asked for."""
    return [task.id for task in tasks if len(store.group(task, agent=agent, provider=provider)) < n]


def _seen(episode: Episode) -> str:
    """Digest of the seed and of what a view of the run holds."""
    outcome = episode.outcome
    failure = outcome.failure.model_dump(mode="json") if outcome.failure else None
    facts = [episode.trajectory.seed, seen_lines(episode.trajectory), outcome.score, outcome.feedback, failure]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _contrastive(rows: Sequence[Row]) -> bool:
    return len({row.passed for row in rows}) == 2


def _drawn(sets: list[tuple[Row, ...]], limit: int | None, stream: random.Random) -> list[tuple[Row, ...]]:
    """At most `limit` of them, in their order."""
    if limit is None or limit >= len(sets):
        return sets
    return [sets[number] for number in sorted(stream.sample(range(len(sets)), limit))]
