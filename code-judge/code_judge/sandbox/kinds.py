"""Which modules a warm interpreter has loaded, and which kind a program wants."""

from __future__ import annotations

import re
from enum import Enum

_STANDARD = (
    "abc array ast bisect cmath collections contextlib copy dataclasses datetime decimal enum fractions functools "
    "heapq io itertools json linecache math operator random re socket statistics string textwrap threading time "
    "traceback types typing"
)
# What its common functions import at their first call.
_SYMPY_LATER = (
    "sympy.assumptions.wrapper sympy.combinatorics sympy.integrals.heurisch sympy.integrals.manualintegrate "
    "sympy.integrals.risch"
)
_IMPORT = re.compile(r"^[ \t]*(?:import|from)[ \t]+([^#\n]+)", re.MULTILINE)
_WORD = re.compile(r"\w+")
_ALWAYS_LOADED = {"import", "from", "as", "sys", "os", "time", "builtins", "gc", "errno", "__future__", "annotations"}


class Kind(str, Enum):
    """A kind of slot. A fork costs what its interpreter has loaded, so none is larger than its programs want."""

    BARE = "bare"
    STANDARD = "standard"
    NUMPY = "numpy"
    SYMPY = "sympy"

    @property
    def preload(self) -> list[str]:
        """Dotted names may be missing in some versions of their package."""
        extra = {Kind.NUMPY: "numpy", Kind.SYMPY: f"numpy sympy {_SYMPY_LATER}"}.get(self, "")
        return [] if self is Kind.BARE else [*_STANDARD.split(), *extra.split()]


def kind_of(source: str, least: Kind = Kind.BARE) -> Kind:
    """`least` or larger. Otherwise a guess from the import statements: wrong ones cost time, never a result."""
    order = list(Kind)
    return order[max(order.index(_wanted(source)), order.index(least))]


def _wanted(source: str) -> Kind:
    if "import" not in source:
        return Kind.BARE
    names = {word for line in _IMPORT.findall(source) for word in _WORD.findall(line)}
    if "sympy" in names:
        return Kind.SYMPY
    if names & {"numpy", "scipy", "pandas"}:
        return Kind.NUMPY
    return Kind.BARE if names <= _ALWAYS_LOADED else Kind.STANDARD
