"""Two pairs that share their contexts and differ in which of them supports the answer (W2)."""

from __future__ import annotations

from collections.abc import Iterable

from cleartrace.pairs.record import SUFFIXES, Direction, Pair

_OTHER = {SUFFIXES["forward"]: SUFFIXES["reverse"], SUFFIXES["reverse"]: SUFFIXES["forward"]}


def twin_id(pair: Pair) -> str | None:
    """Id of the pair in the other direction, or None for a pair that says no direction."""
    stem, ending = pair.id[:-1], pair.id[-1]
    says = pair.meta.get("direction") in {direction.value for direction in Direction}
    return stem + _OTHER[ending] if says and ending in _OTHER else None


def twins(pairs: Iterable[Pair]) -> dict[str, Pair]:
    """The twin of each pair, by id, where both are among `pairs` and their contexts are each other's."""
    known = {pair.id: pair for pair in pairs}
    found = {}
    for pair in known.values():
        other = known.get(twin_id(pair) or "")
        if other is not None and (other.pos, other.neg) == (pair.neg, pair.pos):
            found[pair.id] = other
    return found
