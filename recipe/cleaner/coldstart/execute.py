"""Run programs and give the result in the form the judge gives it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from cleartrace.tools import ToolResult, ToolStatus
from recipe.cleaner.coldstart import runner


def run_trusted(code: str) -> ToolResult:
    """Execute a program of our own making in this process: fast, and no protection whatsoever."""
    return _result(code, runner.outcome(code))


def run_isolated(code: str, timeout_s: float = 4.0) -> ToolResult:
    """Execute a model's program in an interpreter of its own, with an empty environment and a time limit.

    This is NOT a sandbox: the program can read and write whatever this user can. It is meant for the quickstart
    policy, whose programs only compute; use the judge for any other model.
    """
    command = [sys.executable, "-I", "-S", str(runner.__file__)]
    source = code.encode(errors="replace")
    try:
        done = subprocess.run(command, input=source, capture_output=True, timeout=timeout_s, env={}, check=False)
    except subprocess.TimeoutExpired:
        return ToolResult(ToolStatus.TIMEOUT, error_class="timeout", reason="timeout")
    if done.returncode != 0:
        stderr = done.stderr.decode(errors="replace")
        return ToolResult(ToolStatus.PROGRAM_ERROR, stderr=stderr, reason=f"exit code {done.returncode}")
    return _result(code, json.loads(done.stdout))


def _result(code: str, outcome: dict[str, Any]) -> ToolResult:
    if outcome["error_class"] is None:
        return ToolResult(ToolStatus.OK, stdout=outcome["stdout"])
    line, lines = outcome["line"], code.split("\n")
    return ToolResult(
        ToolStatus.PROGRAM_ERROR,
        stdout=outcome["stdout"],
        stderr=outcome["stderr"],
        error_class=outcome["error_class"],
        message=outcome["message"],
        line=line,
        source_line=lines[line - 1] if line and line <= len(lines) else "",
    )
