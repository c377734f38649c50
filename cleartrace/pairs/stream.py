"""The stream of pairs: a pure function of the number of the optimizer step, so a resume needs no state (W11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_STRATA = 2**64 - 1
"""Second word of the key that divides pairs into two halves; no epoch has this number."""


@dataclass(frozen=True)
class Draw:
    """One place of the stream.

    Args:
        index: which pair of the data.
        epoch: passes over the data before this one.
        position: place in the stream, from 0.
    """

    index: int
    epoch: int
    position: int


@dataclass(frozen=True)
class PairStream:
    """Batches of pairs for one data-parallel rank.

    Place p = batch * batch_size + j of the stream belongs to epoch p // n, and each epoch is a permutation drawn from
    Philox with the key (seed, epoch). All ranks see the same stream; each takes its own contiguous slice of a batch.
    Peers of a sequence-parallel group give the same `dp_rank` and get the same rows.

    Args:
        n: number of pairs.
        batch_size: pairs of a global batch.
        dp_rank, dp_size: data-parallel rank and number of ranks.
        every_n_steps: only every so many optimizer steps has a batch.
        balanced: place pairs so that "supporting first at even positions" is an order that flips with every epoch.

    Errors: `ValueError` for sizes that do not fit.
    """

    n: int
    batch_size: int
    seed: int = 0
    dp_rank: int = 0
    dp_size: int = 1
    every_n_steps: int = 1
    balanced: bool = False

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ValueError(problem)

    def _problems(self) -> Sequence[str]:
        found = []
        if self.n < 1:
            found.append("there is no pair to draw from")
        if not 0 <= self.seed < 2**64:
            found.append(f"seed={self.seed} is not a whole number from 0 to 2^64 - 1")
        if self.dp_size < 1 or not 0 <= self.dp_rank < self.dp_size:
            found.append(f"data-parallel rank {self.dp_rank} does not exist among {self.dp_size}")
        elif self.batch_size < 1 or self.batch_size % self.dp_size:
            found.append(
                f"batch_size={self.batch_size} pairs cannot be shared by {self.dp_size} data-parallel ranks; "
                "choose a multiple"
            )
        if self.every_n_steps < 1:
            found.append(f"every_n_steps={self.every_n_steps} must be at least 1")
        if self.balanced and self.batch_size % 2:
            found.append(f"batch_size={self.batch_size} is odd, so no batch can be balanced; choose an even one")
        return found

    def is_active(self, step: int) -> bool:
        """Whether optimizer step `step` (from 0, of the whole run) has a batch."""
        return step % self.every_n_steps == 0

    def batch(self, step: int) -> tuple[Draw, ...]:
        """This rank's draws at optimizer step `step`; empty where the step has no batch."""
        if step < 0:
            raise ValueError(f"step={step}: optimizer steps are counted from 0")
        if not self.is_active(step):
            return ()
        share = self.batch_size // self.dp_size
        first = step // self.every_n_steps * self.batch_size + self.dp_rank * share
        return tuple(self._draw(position) for position in range(first, first + share))

    def passes(self, steps: int) -> float:
        """How often each pair is seen in a run of so many optimizer steps, on average."""
        return -(-steps // self.every_n_steps) * self.batch_size / self.n

    def _draw(self, position: int) -> Draw:
        epoch, place = divmod(position, self.n)
        order = _balanced_epoch if self.balanced else _permutation
        return Draw(int(order(self.n, self.seed, epoch)[place]), epoch, position)


@lru_cache(maxsize=4)
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of n indices, shape (n,). From the raw numbers: those NumPy keeps the same in all its versions."""
    raw = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)).random_raw(n)
    return np.argsort(raw, kind="stable")


@lru_cache(maxsize=4)
def _balanced_epoch(n: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation in which the two halves of the data alternate, shape (n,).

    A pair of half h is asked supporting first in epoch e when h + e is even, and position p of the stream asks
    supporting first when p is even. So place j of the epoch needs a pair of the half (e * n + j + e) mod 2.
    """
    order = _permutation(n, seed, epoch)
    half = np.empty(n, dtype=np.int64)
    half[_permutation(n, seed, _STRATA)] = np.arange(n) % 2
    wanted = (epoch * n + np.arange(n) + epoch) % 2
    placed = np.empty(n, dtype=np.int64)
    for h in (0, 1):
        placed[wanted == h] = order[half[order] == h]
    return placed
