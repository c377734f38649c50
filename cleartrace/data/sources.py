"""Which kind of task a data source holds."""

from __future__ import annotations

from enum import Enum


class Category(str, Enum):
    """Kind of task, as the published filter tells them apart."""

    CODE = "code"
    MATH = "math"
    SCIENCE = "science"
    OTHER = "other"


_KEYWORDS: dict[Category, tuple[str, ...]] = {
    Category.CODE: (
        "leetcode", "codeforces", "apps", "mbpp", "humaneval", "codecontests", "taco", "code", "programming",
    ),
    Category.MATH: (
        "math", "gsm8k", "aime", "olympiad", "algebra", "geometry", "number_theory", "counting", "prealgebra",
        "precalculus", "amc", "numina", "deepscaler",
    ),
    Category.SCIENCE: ("scibench", "scienceqa", "physics", "chemistry", "biology", "science", "gpqa"),
}  # fmt: skip


def category_of(source: str) -> Category:
    """Category of a data source: that of the first keyword that contains its name or is contained in it.

    Code words come before mathematics, and these before science: `train-code-taco-easy` is code.

    Example:
        >>> category_of("train-math-deepscaler").value, category_of("mega-science").value
        ('math', 'science')
    """
    name = source.strip().lower()
    if not name or name == "unknown":
        return Category.OTHER
    for category, words in _KEYWORDS.items():
        if any(word in name or name in word for word in words):
            return category
    return Category.OTHER
