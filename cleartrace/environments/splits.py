"""Splits for task sets that come without any: by scenario, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import accumulate

from cleartrace.episodes.types import Task

SHARES = (("train", 0.5), ("validation", 0.2), ("test", 0.3))
"""Names with their expected shares of the groups."""


def split_of(environment: str, group: str) -> str:
    """Where a scenario belongs. A hash decides, so that further tasks move none of the present ones.

    Example:
        >>> split_of("bfcl", "17") == split_of("bfcl", "17")
        True
    """
    drawn = int.from_bytes(hashlib.sha256(f"{environment}:{group}".encode()).digest()[:8], "big") / 2**64
    bounds = accumulate(share for _, share in SHARES)
    return next((name for (name, _), bound in zip(SHARES, bounds, strict=True) if drawn < bound), SHARES[-1][0])


def of_split(tasks: Sequence[Task], split: str | None) -> list[Task]:
    """The tasks of a split, all for None. Raises: ValueError for a split without tasks."""
    chosen = [task for task in tasks if split in (None, task.split)]
    if not chosen:
        known = sorted({task.split for task in tasks})
        raise ValueError(f"there is no split {split!r}; there are: {', '.join(known) or 'none'}")
    return chosen
