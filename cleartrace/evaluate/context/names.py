"""Names that the command line needs before anything heavy is imported."""

from __future__ import annotations

from enum import Enum


class CreditMethod(str, Enum):
    """How the worth of entries is measured."""

    DROPOUT = "dropout"
    LEAVE_ONE_OUT = "leave-one-out"
