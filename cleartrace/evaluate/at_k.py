"""pass@k and maj@k of one question from n samples. Pure functions; neither draws at random."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Chance that k of the n samples, drawn without replacement, hold a correct one.

    The unbiased estimator 1 - C(n - c, k) / C(n, k) of Chen et al., arXiv 2107.03374, equation 1.

    Raises:
        ValueError: not 1 <= k <= n, or not 0 <= correct <= n.

    Example:
        >>> pass_at_k(4, 1, 1), pass_at_k(4, 1, 2), pass_at_k(4, 3, 2)
        (0.25, 0.5, 1.0)
    """
    _check(n, correct, k)
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


def majority_at_k(votes: Sequence[tuple[str, bool]], k: int) -> float:
    """Chance that the most frequent answer among k of the samples, drawn without replacement, is correct.

    Args:
        votes: (answer, accepted by the grader) per sample. All accepted answers count as one, because each equals the
            key; an empty answer does not vote. Of equally frequent answers one is chosen at random.

    The value is exact, not an estimate by drawing subsets. Its cost grows with k^3 at most; equal questions are
    computed once.

    Raises:
        ValueError: not 1 <= k <= number of votes.

    Example:
        >>> votes = [("7", True), ("7.0", True), ("8", False)]
        >>> round(majority_at_k(votes, 1), 4), round(majority_at_k(votes, 2), 4), majority_at_k(votes, 3)
        (0.6667, 0.6667, 1.0)
    """
    correct = sum(accepted for _, accepted in votes)
    _check(len(votes), correct, k)
    wrong = Counter(answer for answer, accepted in votes if not accepted)
    silent = wrong.pop("", 0)
    return _majority(correct, tuple(sorted(wrong.values())), silent, k)


@lru_cache(maxsize=4096)
def _majority(correct: int, wrong: tuple[int, ...], silent: int, k: int) -> float:
    """`wrong`: sample counts of the distinct wrong answers."""
    total = math.comb(correct + sum(wrong) + silent, k)
    ways = sum(
        math.comb(correct, top) * _shared_wins(wrong, silent, top, k - top) for top in range(1, min(correct, k) + 1)
    )
    return ways / total


def _shared_wins(wrong: tuple[int, ...], silent: int, top: int, rest: int) -> float:
    """Ways to draw `rest` samples so that no wrong answer has more than `top`, a way with t ties weighing 1 / (t + 1).

    `ways[drawn, ties]` counts draws from the answers seen so far.
    """
    ways = np.zeros((rest + 1, rest // top + 1))
    for drawn in range(min(silent, rest) + 1):
        ways[drawn, 0] = math.comb(silent, drawn)
    for size in wrong:
        after = np.zeros_like(ways)
        for taken in range(min(size, top, rest) + 1):
            kept = ways[: rest + 1 - taken] * math.comb(size, taken)
            if taken == top:
                after[taken:, 1:] += kept[:, :-1]
            else:
                after[taken:] += kept
        ways = after
    shares = 1.0 / np.arange(1, ways.shape[1] + 1)
    return float(ways[rest] @ shares)


def powers_of_two(n: int) -> list[int]:
    """1, 2, 4, ... up to n, and n itself: the k at which curves are shown."""
    ks = [1 << i for i in range(max(n, 1).bit_length()) if 1 << i <= n]
    return ks if not ks or ks[-1] == n else [*ks, n]


def _check(n: int, correct: int, k: int) -> None:
    if not 1 <= k <= n:
        raise ValueError(f"need 1 <= k <= n samples, got k={k}, n={n}")
    if not 0 <= correct <= n:
        raise ValueError(f"need 0 <= correct <= n, got correct={correct}, n={n}")
