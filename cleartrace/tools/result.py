"""Tool results as data: what happened, and who is to blame.

A decision (retry? graft? mask?) is made from these fields, never by searching rendered text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ToolStatus(str, Enum):
    """Terminal state of one tool call."""

    OK = "ok"
    PROGRAM_ERROR = "program_error"
    """The program ran and failed: an exception, a signal, a non-zero exit."""
    TIMEOUT = "timeout"
    """The program used up its CPU or wall limit."""
    FORMAT_ERROR = "format_error"
    """The model's call could not be read: bad JSON, unknown tool, missing or non-string argument."""
    NOT_EXECUTED = "not_executed"
    """A surplus call of one turn, answered without being run."""
    INFRA_ERROR = "infra_error"
    """The service failed. Nothing may be learned from this call."""


class Blame(str, Enum):
    """Who caused a failure. Only `MODEL` may reach a gradient."""

    NOBODY = "nobody"
    MODEL = "model"
    TOOL = "tool"
    SANDBOX = "sandbox"
    ENGINE = "engine"


_BLAME = {
    ToolStatus.OK: Blame.NOBODY,
    ToolStatus.NOT_EXECUTED: Blame.NOBODY,
    ToolStatus.PROGRAM_ERROR: Blame.MODEL,
    ToolStatus.TIMEOUT: Blame.MODEL,
    ToolStatus.FORMAT_ERROR: Blame.MODEL,
    ToolStatus.INFRA_ERROR: Blame.SANDBOX,
}

MODEL_FAILURES = frozenset(status.value for status, blame in _BLAME.items() if blame is Blame.MODEL)
"""Values of the statuses that are the model's own failures."""


@dataclass(frozen=True)
class ToolResult:
    """One finished tool call.

    `error_class` is the exception name ("NameError"), or the status for failures that have none
    ("timeout", "format_error", "infra_error"); None for a success. `line` is 1-based in the model's own
    source. `cost_s` is wall seconds of the run, without queueing.
    """

    status: ToolStatus
    stdout: str = ""
    stderr: str = ""
    error_class: str | None = None
    message: str = ""
    line: int | None = None
    source_line: str = ""
    reason: str = ""
    cost_s: float = 0.0

    @property
    def blame(self) -> Blame:
        return _BLAME[self.status]

    @property
    def ok(self) -> bool:
        return self.status is ToolStatus.OK

    @property
    def model_failed(self) -> bool:
        """True when the model wrote something wrong: the only failures purification may act on."""
        return self.blame is Blame.MODEL
