"""How alike two attempts are: a symmetrised difflib ratio with a bounded cost (D2, D3).

difflib is quadratic in the worst case, so three methods are used, cheapest first: an upper bound that already
lies below the threshold decides at once; the exact ratio is computed while its work is small; larger inputs
fall back to the Dice coefficient of their 5-gram multisets, which is linear.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum

MAX_PAIRS = 150_000
"""Equal element pairs up to which the exact ratio is computed: about 1,500 characters of Python on each side,
in the order of 100 ms for both argument orders."""
_GRAM = 5
_AUTOJUNK_MIN_LENGTH = 200


class Method(str, Enum):
    """How a similarity was obtained."""

    EXACT = "exact"
    BOUND = "bound"
    """An upper bound of the exact value, below the threshold."""
    GRAMS = "grams"
    """Dice coefficient of 5-gram multisets, for inputs too large for difflib."""


@dataclass(frozen=True)
class Similarity:
    """A value in [0, 1] and how it was obtained."""

    value: float
    method: Method


def normalise_code(code: str) -> str:
    """LF line ends, no blanks at line ends, no blank lines at the end: what does not change a program."""
    lines = code.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip(" \t") for line in lines).rstrip("\n")


def similarity(
    a: Sequence[Hashable],
    b: Sequence[Hashable],
    *,
    threshold: float = 0.0,
    autojunk: bool = False,
    symmetric: bool = True,
) -> Similarity:
    """2 M / (len a + len b), M = total length of difflib's matching blocks, averaged over both orders.

    Works on strings (characters) and on token ids. Two empty sequences have similarity 1. With
    `symmetric=False` it is the ratio of (a, b) alone. A value below `threshold` may be an upper bound.
    """
    bound = _upper_bound(a, b)
    if bound < threshold:
        return Similarity(bound, Method.BOUND)
    orders = [(a, b), (b, a)] if symmetric else [(a, b)]
    if any(_pairs(x, y, autojunk) > MAX_PAIRS for x, y in orders):
        return Similarity(_gram_dice(a, b), Method.GRAMS)
    ratios = [SequenceMatcher(None, x, y, autojunk).ratio() for x, y in orders]
    return Similarity(sum(ratios) / len(ratios), Method.EXACT)


def _dice(a: Counter, b: Counter) -> float:
    total = sum(a.values()) + sum(b.values())
    return 2.0 * sum((a & b).values()) / total if total else 1.0


def _upper_bound(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    return _dice(Counter(a), Counter(b))


def _pairs(a: Sequence[Hashable], b: Sequence[Hashable], autojunk: bool) -> int:
    in_b = Counter(b)
    if autojunk and len(b) >= _AUTOJUNK_MIN_LENGTH:
        popular = len(b) // 100 + 1
        in_b = Counter({element: n for element, n in in_b.items() if n <= popular})
    return sum(n * in_b[element] for element, n in Counter(a).items())


def _gram_dice(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    return _dice(_grams(a), _grams(b))


def _grams(items: Sequence[Hashable]) -> Counter:
    return Counter(zip(*(items[i:] for i in range(_GRAM)), strict=False))
