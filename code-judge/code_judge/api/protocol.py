"""Bodies of the published endpoints: their fields with their meaning, and added ones.

Unknown request fields are ignored. Items of a batch are validated one by one, so a bad item costs only itself.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, ValidationError, field_validator

from code_judge.jobs import Outcome, Report, RunLimits, text_digest
from code_judge.settings import Settings

LIMIT_NAMES = ("cpu_s", "wall_s", "memory_mb", "output_bytes", "output_chars", "processes")


class Limits(BaseModel):
    """Limits of one submission. Values above the server's caps are lowered to them."""

    cpu_s: float | None = Field(None, gt=0, description="CPU seconds; the verdict is on CPU time.")
    wall_s: float | None = Field(None, gt=0, description="Wall seconds; default 3 x cpu_s.")
    memory_mb: int | None = Field(None, ge=64, description="Memory of the run in MiB, all its processes together.")
    output_bytes: int | None = Field(None, ge=0, description="Bytes of stdout or stderr that end the run.")
    output_chars: int | None = Field(None, ge=0, description="Characters of stdout and stderr sent back.")
    processes: int | None = Field(None, ge=1, description="Processes and threads at one time.")


class Submission(BaseModel):
    """One program."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"type": "python", "solution": "print(int(input()) + 1)", "input": "41", "expected_output": "42"},
                {"type": "python", "solution": "a = 1\na", "options": {"echo": "last_expression"}},
            ]
        }
    )

    sub_id: str | None = Field(None, description="Echoed. Same id and content within the result's life: run once.")
    type: Literal["python", "cpp", "math"] = "python"
    # pydantic's str refuses lone surrogates; Python itself must judge such a source (J48).
    solution: SkipValidation[str] = Field(description="Source text, run unchanged.")
    input: SkipValidation[str | None] = Field(None, description="stdin; null is end of file.")
    expected_output: SkipValidation[str | None] = Field(None, description="Compared after strip(); no run sees it.")
    options: dict[str, Any] | None = Field(None, description='`{"echo": "last_expression"}`, or limits by name.')
    limits: Limits | None = None

    @field_validator("solution", "input", "expected_output", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, str):
            raise ValueError("must be a string")
        return value

    @field_validator("solution")
    @classmethod
    def _present(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("must be a string")
        return value


class BatchSubmission(BaseModel):
    """Several programs, answered in input order; languages may be mixed."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"type": "batch", "submissions": [{"type": "python", "solution": "print(1)"}]}]}
    )

    sub_id: str | None = None
    type: Literal["batch"] = "batch"
    submissions: list[SkipValidation[Submission]] = Field(min_length=1)


class JudgeResult(BaseModel):
    """A verdict. The first five fields are the published ones."""

    sub_id: str
    success: bool = Field(description="run_success, and equal output when one was expected.")
    run_success: bool = Field(description="Exit code 0 within all limits.")
    cost: float = Field(description="Wall seconds of the run, or seconds waited when it never ran.")
    reason: str = Field(description="'', internal_error, worker_timeout, queue_timeout or invalid_input.")
    outcome: Outcome
    detail: str = Field("", description="Why, for rejected and infra_error.")
    exit_code: int | None = None
    signal: int | None = None
    cpu_s: float = 0.0
    wall_s: float = 0.0
    queue_s: float = 0.0
    max_rss_mb: float = 0.0
    error_class: str | None = Field(None, description="From the traceback on stderr: a hint, never a verdict.")
    error_message: str | None = None
    error_line: int | None = Field(None, description="1-based line of the submitted source.")
    isolation: str = Field("", description="Level and means that confined the run.")
    tests_passed: int | None = Field(None, description="Suites only.")
    tests_total: int | None = None
    cases: list[dict[str, Any]] | None = Field(None, description="Suites only: a verdict per case.")


class SubmissionResult(JudgeResult):
    """A verdict with output. stdout and stderr are null when the service failed."""

    stdout: str | None = None
    stdout_bytes: int = 0
    stdout_truncated: bool = False
    stderr: str | None = None
    stderr_bytes: int = 0
    stderr_truncated: bool = False
    stdout_base64: str | None = Field(None, description="With `binary`, where stdout is not UTF-8: its bytes.")
    files: dict[str, str] | None = Field(None, description="Fetched files: name to base64.")


class BatchJudgeResult(BaseModel):
    sub_id: str
    results: list[JudgeResult]


class BatchResult(BaseModel):
    sub_id: str
    results: list[SubmissionResult]


class BadSubmission(ValueError):
    """One item cannot be run; the text says why."""


def parse_item(item: Any) -> Submission:
    """Validate one item of a batch. Raises BadSubmission."""
    try:
        return Submission.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadSubmission(f"{where or 'item'}: {first['msg']}") from None


def named_limits(submission: Submission) -> Limits:
    """From `limits`, else `options`. Raises BadSubmission."""
    named = {name: value for name, value in (submission.options or {}).items() if name in LIMIT_NAMES}
    try:
        return submission.limits or Limits.model_validate(named)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadSubmission(f"options.{first['loc'][0]}: {first['msg']}") from None


def run_limits(asked: Limits, settings: Settings) -> RunLimits:
    """What was asked for, or defaults; within the server's caps."""
    cpu_s = min(asked.cpu_s or settings.default_cpu_s, settings.max_cpu_s)
    output_bytes = settings.default_output_bytes if asked.output_bytes is None else asked.output_bytes
    output_chars = settings.response_chars if asked.output_chars is None else asked.output_chars
    return RunLimits(
        cpu_s=cpu_s,
        wall_s=min(asked.wall_s or 3 * cpu_s, settings.max_wall_s),
        memory_mb=min(asked.memory_mb or settings.default_memory_mb, settings.max_memory_mb),
        output_bytes=min(output_bytes, settings.max_output_bytes),
        output_chars=min(output_chars, settings.max_output_bytes),
        processes=min(asked.processes or settings.default_processes, settings.max_processes),
    )


def wants_echo(submission: Submission) -> bool:
    """Raises BadSubmission for an echo mode that does not exist."""
    mode = (submission.options or {}).get("echo", "none")
    if mode not in ("none", "last_expression"):
        raise BadSubmission(f"options.echo: {mode!r} is not 'last_expression' or 'none'")
    return mode == "last_expression"


def safe_text(text: str) -> str:
    """`text` as it can be sent in UTF-8: lone surrogates replaced."""
    return text.encode("utf-8", "replace").decode()


def legacy_reason(report: Report) -> str:
    """The published `reason` for an outcome."""
    if report.outcome is Outcome.TIME_LIMIT:
        return "worker_timeout"
    if report.outcome is Outcome.REJECTED:
        return "invalid_input"
    if report.outcome is Outcome.INFRA_ERROR:
        return "queue_timeout" if report.detail.startswith("queue_timeout") else "internal_error"
    return ""


def result_row(sub_id: str, report: Report, expected: str | None, elapsed_s: float) -> dict[str, Any]:
    """Judge a report; fields of SubmissionResult. `elapsed_s`: from the request to now, which gives the queueing."""
    run_success = report.outcome in (Outcome.OK, Outcome.WRONG_ANSWER)
    success = report.outcome is Outcome.OK and (expected is None or text_digest(expected) == report.stdout_digest)
    ran = report.outcome not in (Outcome.INFRA_ERROR, Outcome.REJECTED)
    outcome = Outcome.WRONG_ANSWER if run_success and not success else report.outcome
    row = {
        "sub_id": safe_text(sub_id),
        "success": success,
        "run_success": run_success,
        "cost": report.wall_s if ran else elapsed_s,
        "reason": legacy_reason(report),
        "outcome": outcome.value,
        "detail": report.detail,
        "exit_code": report.exit_code,
        "signal": report.signal,
        "cpu_s": report.cpu_s,
        "wall_s": report.wall_s,
        "queue_s": max(0.0, elapsed_s - report.service_s),
        "max_rss_mb": report.max_rss_mb,
        "error_class": report.error_class,
        "error_message": report.error_message,
        "error_line": report.error_line,
        "isolation": report.isolation,
        "stdout": report.stdout if ran else None,
        "stdout_bytes": report.stdout_bytes,
        "stdout_truncated": report.stdout_truncated,
        "stderr": report.stderr if ran else None,
        "stderr_bytes": report.stderr_bytes,
        "stderr_truncated": report.stderr_truncated,
    }
    if report.cases is not None:
        row["cases"] = report.cases
        row["tests_passed"] = sum(case["outcome"] == Outcome.OK for case in report.cases)
        row["tests_total"] = len(report.cases)
    if report.stdout_base64:
        row["stdout_base64"] = report.stdout_base64
    if report.files:
        row["files"] = report.files
    return row


def only_verdict(row: dict[str, Any]) -> dict[str, Any]:
    """Without output, as the judge endpoints answer."""
    return {name: value for name, value in row.items() if name not in OUTPUT_FIELDS}


OUTPUT_FIELDS = frozenset(name for name in SubmissionResult.model_fields if name not in JudgeResult.model_fields)
