"""What travels through the queue: a job for a worker, a report back. Neither holds an expected output."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


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


@dataclass(frozen=True)
class Job:
    """One program to run. `stdin` None means end of file at the first read."""

    id: str
    language: str
    source: str
    stdin: str | None
    echo: bool
    limits: RunLimits

    def dumps(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def loads(cls, data: bytes) -> Job:
        """Raises ValueError, TypeError or KeyError when `data` is not a job."""
        fields = json.loads(data)
        return cls(**{**fields, "limits": RunLimits(**fields["limits"])})


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

    def dumps(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def loads(cls, data: bytes) -> Report:
        fields: dict[str, Any] = json.loads(data)
        return cls(**{**fields, "outcome": Outcome(fields["outcome"])})


def text_digest(text: str) -> str:
    """Equal for two texts exactly when they are equal after strip()."""
    return hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).hexdigest()
