"""OpenAI's harmony format (gpt-oss): a turn is a list of messages, and a call is one with a recipient.

Thoughts are messages of the analysis channel. What stands in a message body is never a call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cleartrace_verl.formats.written import Unreadable, WrittenCall, read_json, skip_space

_DELIMITER = re.compile(r"<\|(start|message|end|call|return)\|>")
_RECIPIENT = re.compile(r"(?:^|\s|>)to=(?!assistant\b|user\b)([\w.\-]+)")


@dataclass(frozen=True)
class _Message:
    """One message: `body` is None when the header was cut off; `end` is the name of the closing token, or empty."""

    start: int
    text: str
    header: str
    body: str | None
    end: str


class HarmonyFormat:
    """Calls to `functions.<name>`, or to one of the tools gpt-oss was trained with, by their own name."""

    name = "gpt-oss"
    ends = ("<|call|>", "<|return|>")

    def calls(self, text: str, *, in_thought: bool = False) -> tuple[WrittenCall, ...]:
        del in_thought  # thoughts have a header of their own
        return tuple(_written(message) for message in _messages(text) if _RECIPIENT.search(message.header))


def _messages(text: str) -> Iterator[_Message]:
    """The generation prompt is `<|start|>assistant`, so the first header of a turn has no start token."""
    start, header_end, body_start = 0, 0, None
    for found in _DELIMITER.finditer(text):
        kind = found[1]
        if kind == "message" and body_start is None:
            header_end, body_start = found.start(), found.end()
        elif kind != "message":
            stop = found.start() if kind == "start" else found.end()
            if stop > start:
                header = text[start : header_end if body_start is not None else found.start()]
                body = None if body_start is None else text[body_start : found.start()]
                yield _Message(start, text[start:stop], header, body, "" if kind == "start" else kind)
            start, body_start = stop, None
    if start < len(text):
        header = text[start : header_end if body_start is not None else len(text)]
        yield _Message(start, text[start:], header, None if body_start is None else text[body_start:], "")


def _written(message: _Message) -> WrittenCall:
    recipient = _RECIPIENT.search(message.header)
    assert recipient is not None
    name = recipient[1].removeprefix("functions.")
    try:
        return WrittenCall(message.start, message.text, name, _arguments(message))
    except Unreadable as error:
        return WrittenCall(message.start, message.text, name, error=str(error))


def _arguments(message: _Message) -> dict[str, Any]:
    if message.body is None:
        raise Unreadable("<|message|> and the arguments are missing")
    if message.end != "call":
        raise Unreadable("<|call|> is missing behind the arguments")
    value, end = read_json(message.body, 0)
    if not isinstance(value, dict):
        raise Unreadable(f"the arguments must be a JSON object, not {type(value).__name__}")
    if skip_space(message.body, end) < len(message.body):
        raise Unreadable("something stands behind the JSON object of the arguments")
    return value


HARMONY = HarmonyFormat()
