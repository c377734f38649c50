"""Turn a `ToolResult` into the text the model reads.

The wording is the compatibility format of the published CLEANER models (cleaner.md 9.2), so that their
checkpoints can be used. Nothing here decides anything: statuses are decided before rendering (D8).
"""

from __future__ import annotations

from cleartrace.tools.result import ToolResult, ToolStatus

CUT_MARK = "\n...(cut)...\n"


def cut_middle(text: str, limit: int) -> str:
    """Keep the head and the tail of `text` within `limit` characters; the tail is the larger share,
    because a traceback ends with the exception line (D10)."""
    if len(text) <= limit:
        return text
    room = max(limit - len(CUT_MARK), 0)
    head = room // 3
    tail = room - head
    return text[:head] + CUT_MARK + (text[-tail:] if tail else "")


def describe_error(result: ToolResult) -> str:
    """`NameError at line 3: name 'x' is not defined` plus the source line, or the raw stderr."""
    if result.error_class is None or result.status is not ToolStatus.PROGRAM_ERROR:
        return result.stderr.strip()
    where = f" at line {result.line}" if result.line else ""
    message = f": {result.message}" if result.message else ""
    source = f"\n{result.source_line.strip()}" if result.source_line.strip() else ""
    return f"{result.error_class}{where}{message}{source}"


def render(result: ToolResult, max_chars: int = 2048) -> str:
    """Text of the tool message, at most `max_chars` characters per stream."""
    lines: list[str] = []
    if result.ok:
        lines.append("Tool call success")
    else:
        lines += ["Tool call failure", f"reason: {result.reason}".rstrip()]
    if stdout := result.stdout.rstrip("\n"):
        lines.append(f"stdout: {cut_middle(stdout, max_chars)}")
    stderr = result.stderr.strip() if result.ok else describe_error(result)
    if stderr:
        lines.append(f"stderr: {cut_middle(stderr, max_chars)}")
    return "\n".join(lines)
