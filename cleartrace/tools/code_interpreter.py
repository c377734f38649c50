"""The `code_interpreter` tool: run the model's call on a judge, return the outcome as data.

Calls are stateless unless the notebook form is chosen: nothing of one call is visible to the next (D55).
"""

from __future__ import annotations

from typing import Any, Protocol

from cleartrace.tools.result import ToolResult, ToolStatus

TOOL_NAME = "code_interpreter"


def _schema(description: str, code: str) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {"code": {"type": "string", "description": code}},
        "required": ["code"],
    }
    return {
        "type": "function",
        "function": {"name": TOOL_NAME, "description": description, "parameters": parameters},
    }


TOOL_SCHEMA = _schema(
    "Run a Python program and return what it prints. Nothing is kept from one call to the next.",
    "The complete program.",
)
"""OpenAI function schema of the tool."""

NOTEBOOK_SCHEMA = _schema(
    "Run Python code and return what it prints. Names are kept from one call to the next; a call that fails "
    "changes nothing.",
    "The code of this call.",
)
"""The same tool with state."""


class JudgeResult(Protocol):
    """What is read from a judge's answer; `code_judge.client.RunResult` has these fields."""

    @property
    def outcome(self) -> str: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...
    @property
    def wall_s(self) -> float: ...
    @property
    def error_class(self) -> str | None: ...
    @property
    def error_message(self) -> str | None: ...
    @property
    def error_line(self) -> int | None: ...
    @property
    def exit_code(self) -> int | None: ...
    @property
    def signal(self) -> int | None: ...
    @property
    def detail(self) -> str: ...


class Judge(Protocol):
    """Runs one program; retries transient failures itself."""

    async def run(self, code: str, *, echo: bool) -> JudgeResult: ...


def format_error(message: str) -> ToolResult:
    """The result of a call that could not be read."""
    return ToolResult(ToolStatus.FORMAT_ERROR, stderr=message, error_class="format_error", message=message)


def infra_error(message: str, cost_s: float = 0.0) -> ToolResult:
    """The result of a run the service could not make. Nothing may be learned from it."""
    return ToolResult(
        ToolStatus.INFRA_ERROR,
        stderr=message,
        error_class="infra_error",
        message=message,
        reason="internal_error",
        cost_s=cost_s,
    )


_TIMEOUT_OUTCOMES = frozenset({"time_limit"})
_PROGRAM_OUTCOMES = frozenset({"runtime_error", "compile_error", "memory_limit", "output_limit", "process_limit"})
_FALLBACK_CLASS = {
    "compile_error": "SyntaxError",
    "memory_limit": "MemoryError",
    "output_limit": "OutputLimitExceeded",
    "process_limit": "ProcessLimitExceeded",
}


def _source_line(code: str, line: int | None) -> str:
    lines = code.splitlines()
    return lines[line - 1] if line is not None and 1 <= line <= len(lines) else ""


def _program_error(code: str, run: JudgeResult, outcome: str) -> ToolResult:
    error_class = run.error_class or _FALLBACK_CLASS.get(outcome)
    message = run.error_message or ""
    if error_class is None:
        how = f"signal {run.signal}" if run.signal else f"exit status {run.exit_code}"
        error_class = "Killed" if run.signal else "NonZeroExit"
        message = message or f"the program ended with {how}"
    return ToolResult(
        ToolStatus.PROGRAM_ERROR,
        stdout=run.stdout,
        stderr=run.stderr,
        error_class=error_class,
        message=message,
        line=run.error_line,
        source_line=_source_line(code, run.error_line),
        cost_s=run.wall_s,
    )


def to_tool_result(code: str, run: JudgeResult) -> ToolResult:
    """Map a judge's outcome to a tool result. An outcome that is not known counts as the service's failure."""
    outcome = str(getattr(run.outcome, "value", run.outcome))
    if outcome == "ok":
        return ToolResult(ToolStatus.OK, stdout=run.stdout, stderr=run.stderr, cost_s=run.wall_s)
    if outcome in _TIMEOUT_OUTCOMES:
        return ToolResult(
            ToolStatus.TIMEOUT,
            stdout=run.stdout,
            stderr=run.stderr,
            error_class="timeout",
            message="the program used up its time limit",
            reason="worker_timeout",
            cost_s=run.wall_s,
        )
    if outcome in _PROGRAM_OUTCOMES:
        return _program_error(code, run, outcome)
    detail = run.detail or "no detail given"
    return infra_error(f"the judge answered {outcome!r}: {detail}", run.wall_s)


def judge_failures() -> tuple[type[Exception], ...]:
    """What a client of `code_judge` raises when the service stays away."""
    # Imported here: the schema and grading answers need no HTTP client.
    from code_judge.client import JudgeUnavailable

    return (JudgeUnavailable,)


class CodeInterpreter:
    """Runs calls on one judge. Holds no state of its own, so it may be shared by concurrent trajectories."""

    def __init__(self, judge: Judge, infra_errors: tuple[type[Exception], ...] | None = None) -> None:
        """`infra_errors`: what `judge.run` raises when the service stays away; default: those of `code_judge`."""
        self._judge = judge
        self._infra_errors = judge_failures() if infra_errors is None else infra_errors

    async def run(self, code: str) -> ToolResult:
        """Run one program. A failing service gives INFRA_ERROR; only programming errors raise."""
        try:
            run = await self._judge.run(code, echo=True)
        except self._infra_errors as error:
            return infra_error(f"{type(error).__name__}: {error}")
        return to_tool_result(code, run)
