"""Which modules a warm interpreter has loaded, and which kind a program wants."""

from __future__ import annotations

import re
from enum import Enum

_STANDARD = (
    "abc array ast bisect builtins cmath collections contextlib copy dataclasses datetime decimal enum fractions "
    "functools heapq io itertools json math operator os random re statistics string sys textwrap threading time "
    "traceback types typing"
)


class Kind(str, Enum):
    """A kind of slot. Larger interpreters fork more slowly, so none is larger than its programs want."""

    BARE = "bare"
    NUMPY = "numpy"
    SYMPY = "sympy"

    @property
    def preload(self) -> list[str]:
        extra = {Kind.BARE: "", Kind.NUMPY: "numpy", Kind.SYMPY: "numpy sympy"}[self]
        return [*_STANDARD.split(), *extra.split()]


_IMPORT = re.compile(r"^[ \t]*(?:import|from)[ \t]+([^#\n]+)", re.MULTILINE)
_WORD = re.compile(r"\b(numpy|sympy|scipy|pandas)\b")


def kind_of(source: str) -> Kind:
    """A guess from the import statements: wrong ones cost time, never a result."""
    if "import" not in source:
        return Kind.BARE
    names = {word for line in _IMPORT.findall(source) for word in _WORD.findall(line)}
    if "sympy" in names:
        return Kind.SYMPY
    return Kind.NUMPY if names else Kind.BARE
