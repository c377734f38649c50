"""Which runs a measurement makes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.episodes.types import Task


@dataclass(frozen=True)
class Draw:
    """One run that both sides of a comparison make: equal task and seed, so equal luck where the agent has any."""

    task: Task
    seed: int


def credit_draws(tasks: Sequence[Task], n: int, seed: int) -> list[Draw]:
    """n independent draws of a task and a run seed, so that intervals are for the mean over all `tasks`.

    Raises:
        ValueError: there are no tasks.
    """
    if not tasks:
        raise ValueError("there are no tasks to measure credit on")
    stream = random.Random(f"{seed}:credit:draws")
    return [Draw(stream.choice(tasks), stream.getrandbits(31)) for _ in range(n)]
