"""Rows within a limit of tokens: a pair that is too long is dropped and counted, never cut (W14)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from cleartrace.pairs.record import Order, Pair
from cleartrace.pairs.twins import twins

Length = Callable[[Pair, Order], int]


class Overlong(str, Enum):
    """What becomes of a pair above the limit."""

    DROP = "drop"
    ERROR = "error"


class OverlongError(ValueError):
    """A pair is too long, or none fits."""


@dataclass(frozen=True)
class Budget:
    """What fits.

    Args:
        kept: in the order of the data.
        dropped: (id, tokens) of each pair above the limit.
        orphaned: ids of pairs that fit and were dropped with their twin: one direction alone would teach which
            context is the longer one.
        longest: tokens of the longest row that is kept.
    """

    kept: tuple[Pair, ...]
    dropped: tuple[tuple[str, int], ...]
    orphaned: tuple[str, ...]
    longest: int

    @property
    def n_dropped(self) -> int:
        return len(self.dropped) + len(self.orphaned)


def within(pairs: Sequence[Pair], limit: int, length: Length, overlong: Overlong = Overlong.DROP) -> Budget:
    """The pairs whose row fits into `limit` tokens in either order.

    Args:
        length: tokens of a row.

    Errors: `OverlongError` for a pair that is too long under `error`, and when no pair fits.
    """
    tokens = {pair.id: max(length(pair, order) for order in Order) for pair in pairs}
    long = {pair_id: n for pair_id, n in tokens.items() if n > limit}
    if long and overlong is Overlong.ERROR:
        pair_id, n = next(iter(long.items()))
        raise OverlongError(
            f"pair {pair_id} has {n} tokens, over max_prompt_length={limit}, as have {len(long) - 1} others; "
            "raise the limit, or drop them with overlong=drop"
        )
    orphaned = {pair_id for pair_id, twin in twins(pairs).items() if twin.id in long and pair_id not in long}
    kept = tuple(pair for pair in pairs if pair.id not in long and pair.id not in orphaned)
    if not kept:
        shortest = min(tokens.values(), default=0)
        raise OverlongError(f"no pair of {len(pairs)} fits into {limit} tokens; the shortest has {shortest}")
    return Budget(kept, tuple(long.items()), tuple(sorted(orphaned)), max(tokens[pair.id] for pair in kept))
