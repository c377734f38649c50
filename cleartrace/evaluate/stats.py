"""Intervals for the kinds of number a run reports: a rate over n trials, a mean over seeds, a mean over questions."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import fmean, stdev

# Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom.
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def wilson_interval(successes: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Score interval of a binomial rate, within [0, 1] (Wilson, JASA 22:209, 1927).

    With n = 0 nothing is known and the interval is (0, 1). `successes` may be a sum of shares.

    Raises:
        ValueError: a count is negative, `successes` exceeds `n`, or `z` is not positive.

    Example:
        >>> [round(bound, 3) for bound in wilson_interval(8, 10)]
        [0.49, 0.943]
    """
    if not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n, got successes={successes}, n={n}")
    if z <= 0:
        raise ValueError(f"z must be positive, got {z}")
    if n == 0:
        return 0.0, 1.0
    rate = successes / n
    scale = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # Rounding must not push the rate itself out of its own interval at 0 and 1.
    return max(0.0, min(centre - half, rate)), min(1.0, max(centre + half, rate))


def student_quantile(degrees: int) -> float:
    """97.5 % quantile of Student's t: of a table up to 30 degrees of freedom, then by expansion in 1 / degrees.

    Source: Abramowitz and Stegun, 26.7.5.

    Raises:
        ValueError: no degree of freedom.

    Example:
        >>> round(student_quantile(10), 2), round(student_quantile(1000), 2)
        (2.23, 1.96)
    """
    if degrees < 1:
        raise ValueError(f"Student's t has 1 degree of freedom or more, not {degrees}")
    if degrees <= len(_T95):
        return _T95[degrees - 1]
    z = 1.959964
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % Student interval: (mean, low, high). One value gives an unbounded interval.

    Raises:
        ValueError: `values` is empty.

    Example:
        >>> [round(v, 2) for v in mean_interval([1.0, 2.0, 3.0])]
        [2.0, -0.48, 4.48]
    """
    if not values:
        raise ValueError("the mean of no values is undefined")
    mean = fmean(values)
    if len(values) == 1:
        return mean, -math.inf, math.inf
    half = student_quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def cluster_interval(
    values: Sequence[float], *, share: bool = True, draws: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of the mean of per-question values, by resampling questions.

    Rollouts of one question depend on each other, so the question is what is drawn (a cluster bootstrap). Where all
    questions agree, resampling knows no spread: Wilson's interval over the questions is given then, and for values
    that are no shares in [0, 1], such as differences (`share=False`), an unbounded one.

    Raises:
        ValueError: `values` is empty, or holds something other than a share.

    Example:
        >>> [round(bound, 2) for bound in cluster_interval([0.0, 1.0] * 50)]
        [0.4, 0.6]
        >>> [round(bound, 2) for bound in cluster_interval([1.0] * 10)]
        [0.72, 1.0]
    """
    if not values:
        raise ValueError("the mean of no values is undefined")
    import numpy as np

    data = np.asarray(values, dtype=float)
    if share and not bool(((data >= 0) & (data <= 1)).all()):
        raise ValueError(f"shares lie in [0, 1], got values from {data.min()} to {data.max()}")
    if len(data) == 1 or float(np.ptp(data)) == 0.0:
        return wilson_interval(float(data.sum()), len(data)) if share else (-math.inf, math.inf)
    weights = np.random.default_rng(seed).multinomial(len(data), np.full(len(data), 1 / len(data)), size=draws)
    low, high = np.percentile(weights @ data / len(data), [2.5, 97.5])
    return float(low), float(high)


def clustered_interval(
    values: Sequence[float], clusters: Sequence[Hashable], *, share: bool = True, draws: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of the mean of `values`, by resampling whole clusters of unequal size.

    Where all values agree, as in `cluster_interval`: Wilson's interval over the clusters, or an unbounded one.

    Raises:
        ValueError: nothing is given, or not one cluster for each value.

    Example:
        >>> [round(bound, 2) for bound in clustered_interval([1, 1, 0, 0] * 25, [n // 2 for n in range(100)])]
        [0.36, 0.64]
    """
    if not values or len(values) != len(clusters):
        raise ValueError(f"need one cluster for each value, got {len(values)} values and {len(clusters)} clusters")
    import numpy as np

    names = list(dict.fromkeys(clusters))
    data = np.asarray(values, dtype=float)
    if len(names) == 1 or float(np.ptp(data)) == 0.0:
        mean = float(data.mean())
        return wilson_interval(mean * len(names), len(names)) if share else (-math.inf, math.inf)
    index = {name: i for i, name in enumerate(names)}
    where = np.array([index[cluster] for cluster in clusters])
    sums, sizes = np.bincount(where, weights=data), np.bincount(where)
    weights = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    low, high = np.percentile((weights @ sums) / (weights @ sizes), [2.5, 97.5])
    return float(low), float(high)


def sign_flip_p(differences: Sequence[float], *, draws: int = 10_000, seed: int = 0) -> float:
    """Two-sided p of "the paired differences have mean zero", by flipping their signs (Fisher's permutation test).

    Exact up to 12 differences that are not zero, which carry all the evidence; else from `draws` random flips, where
    the smallest p is 1 / (draws + 1).

    Example:
        >>> sign_flip_p([1.0, 1.0, 1.0, 1.0, 1.0])
        0.0625
        >>> sign_flip_p([0.0, 0.0])
        1.0
    """
    import numpy as np

    data = np.asarray([value for value in differences if value != 0.0], dtype=float)
    if len(data) == 0:
        return 1.0
    seen = abs(data.sum()) - 1e-9
    if len(data) <= 12:
        signs = 1 - 2 * ((np.arange(2 ** len(data))[:, None] >> np.arange(len(data))) & 1)
        return float((abs(signs @ data) >= seen).mean())
    signs = 1 - 2 * np.random.default_rng(seed).integers(0, 2, size=(draws, len(data)), dtype=np.int8)
    return float(((abs(signs @ data) >= seen).sum() + 1) / (draws + 1))
