"""Which pairs of a step are trained on, and how large mini-batches become with their rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A pair that a rollout offers.

    Args:
        group: the prompt, shared by its rollouts.
        draw: rank among all candidates, lowest first; a hash, so that no rollout is preferred.
        keys: its rows, one or two; they stay or go together (D33).
    """

    group: str
    draw: float
    keys: tuple[str, ...]


def choose(candidates: Sequence[Candidate], *, per_group: int, per_step: int | None = None) -> list[Candidate]:
    """At most `per_group` pairs of each prompt and `per_step` of all, the lowest draws (D32)."""
    taken: Counter[str] = Counter()
    chosen = []
    for candidate in sorted(candidates, key=lambda c: (c.draw, c.keys)):
        if taken[candidate.group] < per_group and (per_step is None or len(chosen) < per_step):
            taken[candidate.group] += 1
            chosen.append(candidate)
    return chosen


@dataclass(frozen=True)
class StepShape:
    """How the rows of a step are cut into mini-batches; sizes count rows over all ranks.

    Args:
        unit: what a mini-batch must be a multiple of (rollouts per prompt).
        ranks: data-parallel ranks.
        actor_micro: rows of a micro-batch of one rank in the update; 1 when tokens decide.
        forward_micro: the same where log-probs are computed.
    """

    unit: int
    ranks: int
    actor_micro: int = 1
    forward_micro: int = 1

    def multiple(self, updates: int) -> int:
        """What the number of rows must be a multiple of, to be cut into `updates` equal mini-batches."""
        rows = math.lcm(self.unit, self.ranks * self.actor_micro)
        return math.lcm(updates * rows, self.ranks * self.forward_micro)


def updates_of(rollouts: int, mini_batch: int) -> int:
    """Optimizer updates of a step without extra rows."""
    return max(math.ceil(rollouts / mini_batch), 1)
