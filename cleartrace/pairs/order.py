"""Which context stands under the first letter: drawn anew, reproducibly, instead of fixed in the data (W1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from cleartrace.pairs.record import Order, Pair

if TYPE_CHECKING:
    from cleartrace.pairs.stream import Draw


class OrderPolicy(str, Enum):
    """How the order of a row is chosen."""

    RANDOM = "random"
    """A bit of (seed, epoch, pair id)."""
    BALANCED = "balanced"
    """Exactly half of each global batch is right at the first letter, and a pair's order flips every epoch."""
    BOTH = "both"
    """Two rows for each pair."""
    FIXED = "fixed"
    """As the data says, which is how published data was trained on."""


def random_order(seed: int, epoch: int, pair_id: str) -> Order:
    """The order of the policy `random`: the same in every process and after every restart."""
    digest = hashlib.blake2b(f"{seed}\0{epoch}\0{pair_id}".encode(), digest_size=1).digest()
    return Order.CONFOUNDING_FIRST if digest[0] & 1 else Order.SUPPORTING_FIRST


def orders_of(policy: OrderPolicy, pair: Pair, draw: Draw, seed: int) -> tuple[Order, ...]:
    """The orders in which `pair` is asked at this draw: two for `both`, else one.

    Errors: `ValueError` for a pair without an order under the policy `fixed`.
    """
    match policy:
        case OrderPolicy.RANDOM:
            return (random_order(seed, draw.epoch, pair.id),)
        case OrderPolicy.BALANCED:
            # The stream puts pairs where their order alternates along it; see `PairStream`.
            return (Order.CONFOUNDING_FIRST if draw.position % 2 else Order.SUPPORTING_FIRST,)
        case OrderPolicy.BOTH:
            return (Order.SUPPORTING_FIRST, Order.CONFOUNDING_FIRST)
        case OrderPolicy.FIXED:
            if pair.order is None:
                raise ValueError(
                    f"pair {pair.id} stores no order, which order=fixed needs; use random, balanced or both"
                )
            return (pair.order,)


def rows_of(
    policy: OrderPolicy, pairs: Sequence[Pair], draws: Sequence[Draw], seed: int
) -> Iterator[tuple[Pair, Order]]:
    """The rows of a batch: (pair, order) for each draw, the two rows of `both` next to each other."""
    for draw in draws:
        pair = pairs[draw.index]
        for order in orders_of(policy, pair, draw, seed):
            yield pair, order
