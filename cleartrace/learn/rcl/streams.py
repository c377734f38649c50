"""Random numbers by name. A draw depends on the run's seed and its own name alone, so nothing has to be saved (S11)."""

from __future__ import annotations

import random


def stream(seed: int, *name: object) -> random.Random:
    """A generator of its own for this name.

    Example:
        >>> stream(42, "sample", 3).random() == stream(42, "sample", 3).random()
        True
        >>> stream(42, "sample", 3).random() == stream(42, "sample", 4).random()
        False
    """
    return random.Random(":".join(map(str, (seed, *name))))


def seed_of(seed: int, *name: object) -> int:
    """A 31-bit seed for this name: what runs, reflector and mutator are given."""
    return stream(seed, *name).getrandbits(31)
