"""Intervals for effects, which are means of differences of scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from cleartrace.episodes.types import Record

_Z95 = 1.959964


class Effect(Record):
    """A mean difference of scores with its 95 % interval. `n`: of independent differences."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def sign(self) -> int:
        """1 or -1 where the interval excludes 0, else 0."""
        return (self.low > 0) - (self.high < 0)


def difference_interval(differences: Sequence[float]) -> Effect:
    """Effect of independent paired differences in [-1, 1], most of which may be 0.

    Wald's interval after adding one difference of +1 and one of -1: for scores of 0 and 1 this is the interval of
    Bonett and Price (Biometrical Journal 54:4, 2012) for paired proportions, which keeps its level where few pairs
    differ and is never of width 0. `mean` is that of the differences alone.

    Raises:
        ValueError: there are no differences, or one is outside [-1, 1].

    Example:
        >>> effect = difference_interval([1.0] * 8 + [0.0] * 24)
        >>> round(effect.mean, 2), round(effect.low, 2), round(effect.high, 2), effect.sign
        (0.25, 0.07, 0.4, 1)
        >>> difference_interval([0.0] * 30).sign
        0
    """
    if not differences:
        raise ValueError("the mean of no differences is undefined")
    if any(not -1.0 <= one <= 1.0 for one in differences):
        raise ValueError(f"differences of scores lie in [-1, 1], got {min(differences)} to {max(differences)}")
    padded = [*differences, 1.0, -1.0]
    centre = fmean(padded)
    spread = math.sqrt(sum((one - centre) ** 2 for one in padded) / len(padded))
    half = _Z95 * spread / math.sqrt(len(padded))
    return Effect(
        mean=fmean(differences), low=max(-1.0, centre - half), high=min(1.0, centre + half), n=len(differences)
    )
