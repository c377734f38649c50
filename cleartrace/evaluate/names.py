"""Names that the command line and the settings share. Imports nothing heavy, so that `--help` stays fast."""

from __future__ import annotations

from enum import Enum

API_KEY_VARIABLE = "CLEARTRACE_API_KEY"
SERVE_TOKEN_VARIABLE = "CLEARTRACE_SERVE_TOKEN"


class Rollback(str, Enum):
    """Which evaluation arms are run."""

    BOTH = "both"
    OFF = "off"
    ON = "on"


class PromptAs(str, Enum):
    """What an endpoint is sent."""

    IDS = "ids"
    TEXT = "text"
