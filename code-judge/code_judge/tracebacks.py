"""Reads the error of a Python program from its stderr. A hint for the caller, never part of a verdict."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FRAME = re.compile(r'^  File "(?P<file>[^"]*)", line (?P<line>[0-9]{1,9})\b')
_ERROR = re.compile(r"^(?P<name>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$")
_MAX_CLASS, _MAX_MESSAGE = 200, 2000


@dataclass(frozen=True)
class PythonError:
    """`line` is 1-based in the user's own file, the innermost such frame; None when there is none."""

    error_class: str
    message: str
    line: int | None


def parse_traceback(stderr: str, user_file: str) -> PythonError | None:
    """The last exception printed on `stderr`, or None when none can be read."""
    lines = stderr.splitlines()
    frames = [(index, match) for index, text in enumerate(lines) if (match := _FRAME.match(text))]
    if not frames:
        return None
    # Source and caret lines below the last frame are indented; the error line is not.
    after = frames[-1][0] + 1
    while after < len(lines) and (lines[after].startswith(" ") or not lines[after]):
        after += 1
    match = _ERROR.match(lines[after]) if after < len(lines) else None
    if match is None:
        return None
    heads = [index for index, text in enumerate(lines[:after]) if text.startswith("Traceback (most recent call last)")]
    start = heads[-1] if heads else 0
    own = [int(found["line"]) for index, found in frames if index >= start and found["file"] == user_file]
    message = "\n".join([match["message"] or "", *lines[after + 1 :]]).strip()
    return PythonError(match["name"].rpartition(".")[2][:_MAX_CLASS], message[:_MAX_MESSAGE], own[-1] if own else None)
