"""The shape of SandboxFusion's `/run_code`, so that its clients can use this service."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from code_judge.api.models import RunRequest

_LANGUAGES = {"python": "python", "pytest": None, "cpp": "cpp"}
_TIMED_OUT = {"time_limit"}


class RunCodeRequest(BaseModel):
    """Fields as SandboxFusion names them; others are ignored."""

    code: str
    language: str = "python"
    stdin: str | None = None
    compile_timeout: float = Field(10, description="Accepted; compiling has a limit of its own.")
    run_timeout: float = Field(10, gt=0, description="Wall seconds.")
    memory_limit_MB: int = -1  # noqa: N815
    files: dict[str, str | None] = Field(default_factory=dict, description="Name to base64.")
    fetch_files: list[str] = Field(default_factory=list)


def to_run(asked: RunCodeRequest) -> RunRequest | None:
    """None for a language that is not served. Raises pydantic's ValidationError."""
    language = _LANGUAGES.get(asked.language)
    if language is None:
        return None
    memory_mb = asked.memory_limit_MB if asked.memory_limit_MB > 0 else None
    limits = {"cpu_s": asked.run_timeout, "wall_s": asked.run_timeout, "memory_mb": memory_mb, "output_chars": 1 << 20}
    files = {name: data for name, data in asked.files.items() if data is not None}
    return RunRequest.model_validate(
        {
            "language": language, "source": asked.code, "stdin": asked.stdin, "limits": limits,
            "files": files, "fetch": asked.fetch_files,
        }
    )  # fmt: skip


def unsupported(language: str) -> dict[str, Any]:
    return _answer("SandboxError", f"language {language!r} is not served; python and cpp are", None, None, {})


def to_answer(row: dict[str, Any], language: str) -> dict[str, Any]:
    """A result row in SandboxFusion's words."""
    outcome = row["outcome"]
    if outcome in ("infra_error", "rejected"):
        return _answer("SandboxError", f"{outcome}: {row['detail']}", None, None, {})
    part = {
        "status": "TimeLimitExceeded" if outcome in _TIMED_OUT else "Finished",
        "execution_time": row["wall_s"], "return_code": row["exit_code"] if row["signal"] is None else -row["signal"],
        "stdout": row["stdout"], "stderr": row["stderr"],
    }  # fmt: skip
    status = "Success" if outcome == "ok" else "Failed"
    if language == "cpp":
        compiled = {"status": "Finished", "execution_time": 0.0, "return_code": 0, "stdout": "", "stderr": ""}
        if outcome == "compile_error":
            return _answer("Failed", "", {**part, "return_code": row["exit_code"] or 1}, None, {})
        return _answer(status, "", compiled, part, row.get("files") or {})
    return _answer(status, "", None, part, row.get("files") or {})


def _answer(status: str, message: str, compiled: Any, ran: Any, files: dict[str, str]) -> dict[str, Any]:
    return {
        "status": status, "message": message, "compile_result": compiled, "run_result": ran,
        "executor_pod_name": None, "files": files,
    }  # fmt: skip
