"""Training and held-out pairs that share no group: no repository at a commit, no family of images, is in both."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cleartrace.pairs.record import Pair

SHOWN = 3


class SplitError(ValueError):
    """Pairs that cannot be divided, or parts that are not apart."""


@dataclass(frozen=True)
class Split:
    """Both parts, each in the order of the data."""

    train: tuple[Pair, ...]
    val: tuple[Pair, ...]


def split_by_group(pairs: Sequence[Pair], val_share: float = 0.1, seed: int = 42) -> Split:
    """Divide `pairs` so that about `val_share` of each source is held out, by whole groups.

    Groups are taken in the order of a hash of seed and name, so the result depends on neither the order of the data
    nor the process, and data that is added later moves few groups. A group of several sources counts for the first
    of them by name. A source of one group stays in training.

    Errors: `SplitError` when the share is not between 0 and 1, or one part would be empty.
    """
    if not 0 < val_share < 1:
        raise SplitError(f"val_share={val_share:g} must lie between 0 and 1")
    held_out: set[str] = set()
    for sizes in _sources(pairs).values():
        held_out |= _held_out(sizes, val_share, seed)
    parts = Split(*(tuple(pair for pair in pairs if (pair.group in held_out) is val) for val in (False, True)))
    if not parts.train or not parts.val:
        n = len({pair.group for pair in pairs})
        raise SplitError(
            f"{len(pairs)} pairs in {n} groups cannot be divided: at least 2 groups of a source are needed"
        )
    return parts


def _sources(pairs: Sequence[Pair]) -> dict[str, dict[str, int]]:
    """Source -> group -> number of pairs, each group once."""
    sources: dict[str, str] = {}
    sizes: dict[str, int] = defaultdict(int)
    for pair in pairs:
        sources[pair.group] = min(pair.source, sources.get(pair.group, pair.source))
        sizes[pair.group] += 1
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for group, source in sources.items():
        found[source][group] = sizes[group]
    return found


def _held_out(sizes: dict[str, int], share: float, seed: int) -> set[str]:
    """Groups of one source, in hash order, until the next would take the part further from its share."""
    wanted, taken, chosen = share * sum(sizes.values()), 0, set()
    for group in sorted(sizes, key=lambda name: _rank(seed, name)):
        if len(chosen) + 1 == len(sizes) or (chosen and abs(taken + sizes[group] - wanted) >= abs(taken - wanted)):
            break
        chosen.add(group)
        taken += sizes[group]
    return chosen


def _rank(seed: int, group: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{group}".encode(), digest_size=16).digest()


def require_disjoint(train: Iterable[Pair], val: Iterable[Pair]) -> None:
    """Errors: `SplitError` that names groups which both parts have."""
    shared = sorted({pair.group for pair in train} & {pair.group for pair in val})
    if shared:
        more = f" and {len(shared) - SHOWN} more" if len(shared) > SHOWN else ""
        raise SplitError(
            f"training and held-out pairs share the groups {', '.join(shared[:SHOWN])}{more}, so the held-out "
            "accuracy would be too high; divide them with `cleartrace pairs split`"
        )
