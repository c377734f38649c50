"""Names that the command line needs before anything heavy is imported."""

from __future__ import annotations

from enum import Enum


class Method(str, Enum):
    """Baselines that learn a context."""

    ACE = "ace"
    BEST_OF_N = "best-of-n"
    CHEATSHEET = "cheatsheet"
    GEPA = "gepa"
