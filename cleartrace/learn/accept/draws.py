"""Which runs a comparison makes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from cleartrace.episodes.types import Task
from cleartrace.learn.accept.protocol import Draw


def paired_draws(
    affected: Sequence[Task], anchors: Sequence[Task], n: int, affected_share: float, stream: random.Random
) -> list[Draw]:
    """n draws, each of an affected task with chance `affected_share`, else of an anchor; seeds are new each time.

    Draws are independent of each other, which the sequential test needs.
    """
    return _draws(stream.choice, affected, anchors, n, affected_share, stream)


def dealt_draws(
    affected: Sequence[Task], anchors: Sequence[Task], n: int, affected_share: float, stream: random.Random
) -> list[Draw]:
    """The same, but each task comes up once before any comes up twice: as many tasks as possible are seen."""
    hands: dict[str, list[Task]] = {}

    def deal(tasks: Sequence[Task]) -> Task:
        hand = hands.setdefault(tasks[0].id, [])
        if not hand:
            hand += stream.sample(tasks, len(tasks))
        return hand.pop()

    return _draws(deal, affected, anchors, n, affected_share, stream)


def _draws(
    pick: Callable[[Sequence[Task]], Task],
    affected: Sequence[Task],
    anchors: Sequence[Task],
    n: int,
    affected_share: float,
    stream: random.Random,
) -> list[Draw]:
    if not affected and not anchors:
        return []
    kinds = (affected or anchors, anchors or affected)
    return [
        Draw(pick(kinds[0] if stream.random() < affected_share else kinds[1]), stream.getrandbits(31)) for _ in range(n)
    ]
