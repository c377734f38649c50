"""Names on the command line. Nothing is imported here, so that `--help` stays fast."""

from __future__ import annotations

from enum import Enum


class Format(str, Enum):
    """What `episodes import` reads."""

    MESSAGES = "messages"
    TRAINING = "training"
    RCL = "rcl"
    CLEAR = "clear"
    STORE = "store"


class Target(str, Enum):
    """What `episodes export` writes."""

    SFT = "sft"
    CSV = "csv"
