"""Names on the command line. Nothing is imported here, so that `--help` stays fast."""

from __future__ import annotations

from enum import Enum


class Target(str, Enum):
    """What `clear export` writes."""

    CHAT = "chat"
    VERL = "verl"
    LLAMAFACTORY = "llamafactory"
    PROMPTS = "prompts"
