"""How a tool loop runs: its limits, and how calls are written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class CallStyle(str, Enum):
    """How a model calls tools."""

    NATIVE = "native"
    """In the endpoint's own form."""
    TEXT = "text"
    """As fenced JSON in its text, for models and servers that know no tools."""


@dataclass(frozen=True)
class Limits:
    """What one run of an agent may use. Running out of any is the agent's own failure.

    Args:
        max_turns: replies of the model.
        max_output_tokens: of one reply; None leaves it to the endpoint.
        max_run_tokens: output tokens of all replies together; None for no limit.
        tool_output_chars: what the model is shown of one tool's answer.
        malformed_turns: so many turns after each other without a usable call or message end the run.
    """

    max_turns: int = 30
    max_output_tokens: int | None = 4096
    max_run_tokens: int | None = None
    tool_output_chars: int = 12_000
    malformed_turns: int = 3

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}: it must be at least 1")
