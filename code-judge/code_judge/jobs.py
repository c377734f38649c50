"""What travels through the queue: a job for a worker, a report back.

The expected output of a single run stays with the API. That of a suite goes to the worker, and never into a run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from code_judge.textjson import dump_json, load_json

CELL_ENDED_IT = "a cell ended it"
"""How it begins why a session is over, where that was the doing of its own program."""


class Outcome(str, Enum):
    """Terminal state of one submission; exactly one applies."""

    OK = "ok"
    WRONG_ANSWER = "wrong_answer"
    RUNTIME_ERROR = "runtime_error"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    PROCESS_LIMIT = "process_limit"
    OUTPUT_LIMIT = "output_limit"
    COMPILE_ERROR = "compile_error"
    REJECTED = "rejected"
    INFRA_ERROR = "infra_error"


@dataclass(frozen=True)
class RunLimits:
    """Limits of one run, already within the server's caps."""

    cpu_s: float
    wall_s: float
    memory_mb: int
    output_bytes: int
    """More than this on stdout or on stderr ends the run with `output_limit`."""
    output_chars: int
    """Characters of stdout and of stderr that are sent back."""
    processes: int = 64


class SuiteKind(str, Enum):
    """How the cases of a suite test a program."""

    STDIO = "stdio"
    """Each case is a run: `input` on stdin, `expected` compared with stdout."""
    CALL = "call"
    """Each case calls `entry_point` with `args` and `kwargs`; the result is compared with `expected`."""
    ASSERT = "assert"
    """Each case is test `code`, run in another process than the program."""


class Compare(str, Enum):
    """When two outputs are equal."""

    STRIP = "strip"
    """As the published service does: whole texts, without white space around them."""
    LINES = "lines"
    """Line by line, without white space at the ends of lines and empty lines at the end."""
    TOKENS = "tokens"
    """Word by word; numbers by value."""


@dataclass(frozen=True)
class Suite:
    """Cases for one program; their limits are the job's, each. `setup` (assert) runs once before the cases."""

    kind: SuiteKind
    cases: list[dict[str, Any]]
    entry_point: str = ""
    setup: str = ""
    stop_early: bool = False
    compare: Compare = Compare.STRIP
    tolerance: float = 0.0
    """Relative and absolute difference of numbers that still counts as equal (call, tokens)."""
    wall_s: float = 600.0
    """For all cases together."""

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Suite:
        return cls(**{**fields, "kind": SuiteKind(fields["kind"]), "compare": Compare(fields["compare"])})


@dataclass(frozen=True)
class Job:
    """One program to run. `stdin` None means end of file at the first read."""

    id: str
    language: str
    source: str
    stdin: str | None
    echo: bool
    limits: RunLimits
    suite: Suite | None = None
    files: dict[str, str] = field(default_factory=dict)
    """Name below the work directory -> base64, put there before the run."""
    fetch: list[str] = field(default_factory=list)
    """Names below the work directory whose content is sent back."""
    binary: bool = False
    """Also send stdout as bytes where it is not UTF-8."""

    def dumps(self) -> bytes:
        suite = None if self.suite is None else vars(self.suite)
        return dump_json({**vars(self), "limits": vars(self.limits), "suite": suite})

    @classmethod
    def loads(cls, data: bytes) -> Job:
        """Raises ValueError, TypeError, KeyError or AttributeError when `data` is not a job."""
        fields = load_json(data)
        suite = None if fields.get("suite") is None else Suite.of(fields["suite"])
        return cls(**{**fields, "limits": RunLimits(**fields["limits"]), "suite": suite})


@dataclass(frozen=True)
class Report:
    """What a worker measured. Times in seconds, by the supervisor's clock and the kernel's accounting."""

    outcome: Outcome
    detail: str = ""
    exit_code: int | None = None
    signal: int | None = None
    cpu_s: float = 0.0
    wall_s: float = 0.0
    service_s: float = 0.0
    """From receipt by the worker to the report; the rest of a request's time is queueing."""
    max_rss_mb: float = 0.0
    stdout: str = ""
    stdout_bytes: int = 0
    stdout_truncated: bool = False
    stdout_digest: str = ""
    """`text_digest` of the full stdout: the comparison needs no expected output on the worker."""
    stderr: str = ""
    stderr_bytes: int = 0
    stderr_truncated: bool = False
    error_class: str | None = None
    error_message: str | None = None
    error_line: int | None = None
    isolation: str = ""
    cases: list[dict[str, Any]] | None = None
    """Per case of a suite: its `outcome` (`not_run` after an early stop), and what is known of it."""
    files: dict[str, str] = field(default_factory=dict)
    """Files of the run that were asked for: name -> base64."""
    stdout_base64: str = ""
    """Of a job with `binary`, where stdout is not UTF-8: the kept bytes."""

    def dumps(self) -> bytes:
        return dump_json(vars(self))

    @classmethod
    def loads(cls, data: bytes) -> Report:
        fields: dict[str, Any] = load_json(data)
        return cls(**{**fields, "outcome": Outcome(fields["outcome"])})


def text_digest(text: str) -> str:
    """Equal for two texts exactly when they are equal after strip()."""
    return hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).hexdigest()
