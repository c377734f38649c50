"""What a command may write before it is stopped."""

from __future__ import annotations

import time
import unicodedata

MAX_LINE_CHARS = 2_000


class Full(Exception):
    """The reply has no more room."""


class TooLong(Exception):
    """The command took too long."""


class Output:
    """Lines of one reply, up to `limit` bytes and until `deadline` (of `time.monotonic`)."""

    def __init__(self, limit: int, deadline: float) -> None:
        self.limit, self.deadline = limit, deadline
        self.lines: list[str] = []
        self.bytes = 0
        self.next_line: int | None = None

    def line(self, text: str, number: int | None = None) -> None:
        """Raises Full when it does not fit. `number`: of the line in its file, to go on from."""
        self.tick()
        text = visible(text)
        if len(text) > MAX_LINE_CHARS:
            text = f"{text[:MAX_LINE_CHARS]} [cut at {MAX_LINE_CHARS} characters; head -c and tail -c show more]"
        size = len(text.encode("utf-8", "replace")) + 1
        if self.bytes + size > self.limit:
            self.next_line = number
            raise Full
        self.bytes += size
        self.lines.append(text)

    def tick(self) -> None:
        """Raises TooLong; called wherever a command may spend time without writing."""
        if time.monotonic() > self.deadline:
            raise TooLong


def visible(text: str) -> str:
    """Control characters as escapes: what a file holds cannot act on a terminal or pass for something else."""
    if text.isprintable():
        return text
    return "".join(char if char == "\t" or not _acts(char) else f"\\u{ord(char):04x}" for char in text)


def _acts(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
