"""Sequential test and interval for the mean of paired differences, valid whenever one stops.

Betting against "the mean is at most m" with a fixed share of the stake multiplies the wealth by 1 + share * (d - m). If
the claim is true, the wealth is a non-negative supermartingale, so by Ville's inequality it ever reaches 1 / alpha with
probability at most alpha, whatever the differences' distribution and whenever one looks. Several shares are played at
once and their wealth is averaged. Source: Waudby-Smith and Ramdas, Estimating means of bounded random variables by
betting, JRSS-B 86:1, 2024, which proves it for adaptive shares as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

_SHARES = np.array([0.1, 0.25, 0.5, 0.75, 0.95])


def evidence(differences: Sequence[float], above: float = 0.0) -> float:
    """Wealth won against "the mean is at most `above`"; from 1 / alpha on the claim is rejected at level alpha.

    Args:
        differences: in [-1, 1], each drawn without regard to its own outcome.

    Raises:
        ValueError: a difference is outside [-1, 1].

    Example:
        >>> evidence([]), evidence([0.0] * 50), evidence([1.0] * 6) > 20
        (1.0, 1.0, True)
    """
    _check(differences)
    return float(_wealth(np.asarray(differences, dtype=float) - above, 1.0 + above).mean())


def betting_interval(differences: Sequence[float], alpha: float = 0.05) -> tuple[float, float]:
    """(low, high) that holds the mean with probability 1 - alpha, also where one stopped because of what one saw.

    The means that neither of two bets, each at level alpha / 2, has ruled out by now.

    Example:
        >>> low, high = betting_interval([1.0, 0.0] * 40)
        >>> 0.3 < low < 0.5 < high < 0.7
        True
    """
    _check(differences)
    if not differences:
        return -1.0, 1.0
    data = np.asarray(differences, dtype=float)
    # What remains open after a bet against "at most m" is a range, because the wealth falls as m rises.
    low = _lowest_open(data, alpha / 2.0)
    high = -_lowest_open(-data, alpha / 2.0)
    return (low, high) if low <= high else (float(data.mean()), float(data.mean()))


def _lowest_open(data: np.ndarray, alpha: float) -> float:
    """The lowest mean that the bet against means at most m has not ruled out, by bisection to 1e-4."""
    low, high, limit = -1.0, 1.0, 1.0 / alpha
    if _wealth(data - low, 0.0).mean() < limit:
        return low
    while high - low > 1e-4:
        middle = (low + high) / 2.0
        low, high = (middle, high) if _wealth(data - middle, 1.0 + middle).mean() >= limit else (low, middle)
    return low


@cache
def pairs_to_decide(alpha: float) -> int:
    """Fewest pairs, all of them wins, that can prove an improvement."""
    n = 1
    while evidence([1.0] * n) < 1.0 / alpha:
        n += 1
    return n


def _wealth(over: np.ndarray, room: float) -> np.ndarray:
    """Per share. `room`: how far a difference can fall below the claim; a share of it is staked."""
    stakes = _SHARES / max(room, 1e-9)
    with np.errstate(over="ignore"):
        return np.exp(np.minimum(np.log1p(np.maximum(stakes[:, None] * over[None, :], -1 + 1e-12)).sum(axis=1), 700.0))


def _check(differences: Sequence[float]) -> None:
    if any(not -1.0 <= one <= 1.0 for one in differences):
        raise ValueError(f"differences of scores lie in [-1, 1], got {min(differences)} to {max(differences)}")
