"""Names that the command line and the core share. Imports nothing heavy, so that `--help` stays fast."""

from __future__ import annotations

from enum import Enum


class Mode(str, Enum):
    """How a choice is read."""

    LOGIT = "logit"
    """Which of the two letters has the higher next-token logit. Nothing is sampled; figure 5 uses this."""
    GENERATE = "generate"
    """The letter that the model writes. An answer that is not one letter is wrong."""


class Arm(str, Enum):
    """What a question is asked for."""

    PLAIN = "plain"
    BLIND = "blind"
    """Both contexts are left out: what is still answered comes from question, answer or position."""
    SWAPPED = "swapped"
    """The answer is the one that the other context supports, so a model that reads it changes sides."""


class Status(str, Enum):
    """How one question ended. All but TOO_LONG count, and all but ANSWERED count as wrong."""

    ANSWERED = "answered"
    INVALID = "invalid"
    """Neither letter, both, or a tie."""
    REFUSED = "refused"
    """The endpoint does not serve this one request."""
    TOO_LONG = "too_long"
    """The prompt exceeds the model's context. It is not cut (W14): its pair leaves every score and is counted."""
