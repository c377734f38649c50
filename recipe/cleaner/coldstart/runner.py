"""Run one program of our own and report its outcome as plain data."""

from __future__ import annotations

import contextlib
import io
import sys
import traceback
from typing import Any

FILENAME = "<program>"


def outcome(code: str) -> dict[str, Any]:
    """Execute `code` here, without any protection; `error_class` is None for a success."""
    stdout = io.StringIO()
    try:
        with contextlib.redirect_stdout(stdout):
            exec(compile(code, FILENAME, "exec"), {"__name__": "__main__"})
    except Exception as error:
        return {"stdout": stdout.getvalue(), **_describe(error)}
    return {"stdout": stdout.getvalue(), "error_class": None}


def _describe(error: Exception) -> dict[str, Any]:
    # The interpreter's own hook is asked, because only what it prints holds the hint "Did you mean: 'print'?".
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr):
        sys.__excepthook__(type(error), error, error.__traceback__)
    last = stderr.getvalue().rstrip("\n").rpartition("\n")[2]
    return {
        "error_class": type(error).__name__,
        "message": last.partition(": ")[2],
        "line": error.lineno if isinstance(error, SyntaxError) else _last_line(error),
        "stderr": stderr.getvalue(),
    }


def _last_line(error: Exception) -> int | None:
    """Line of the program itself where the error came from, not of a library it called."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == FILENAME]
    return lines[-1] if lines else None
