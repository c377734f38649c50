"""A tool call as a model wrote it, and the reading of JSON in it. Nothing is repaired: what cannot be read is an error
that the model is shown (D9)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class WrittenCall:
    """One call of a turn.

    Args:
        start: offset of its first character in the turn's text.
        text: the call as written, markers included.
        name: tool name, None when it could not be read.
        arguments: decoded arguments.
        call_id: the id the model gave the call, in formats that have one.
        error: why the call cannot be read, in words for the model; None when it can.
        untyped: the format writes every value as text, so a number is to be read by the tool's schema.
    """

    start: int
    text: str
    name: str | None = None
    arguments: dict[str, Any] | None = None
    call_id: str | None = None
    error: str | None = None
    untyped: bool = False


class CallFormat(Protocol):
    """How one family of models writes tool calls."""

    @property
    def name(self) -> str: ...

    @property
    def ends(self) -> tuple[str, ...]:
        """Tokens that end a turn beside the tokenizer's end of sequence."""
        ...

    def calls(self, text: str, *, in_thought: bool = False) -> tuple[WrittenCall, ...]:
        """The calls of a turn, in order, readable or not. `in_thought`: the turn begins inside a thought."""
        ...


class Unreadable(ValueError):
    """A call that breaks its format. The message completes 'The tool call could not be read: ...'."""


@dataclass(frozen=True)
class Content:
    """What a reader found in one call."""

    name: str
    arguments: dict[str, Any]
    call_id: str | None = None
    untyped: bool = False


Reader = Callable[[str, int], tuple[list[Content], int]]
"""(text, offset behind the opening marker) to (contents, offset behind the call). Raises Unreadable."""


def skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def until(text: str, at: int, closing: str) -> tuple[str, int]:
    """(text between `at` and `closing`, offset behind it)."""
    end = text.find(closing, at)
    if end < 0:
        raise Unreadable(f"{closing} is missing")
    return text[at:end], end + len(closing)


def read_json(text: str, at: int) -> tuple[Any, int]:
    """(value, offset behind it) of the JSON at `at` or behind blanks there."""
    at = skip_space(text, at)
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        raise Unreadable(f"it is not JSON: {what} at character {error.pos - at + 1}") from error
    except RecursionError as error:
        raise Unreadable("its JSON is nested too deeply") from error


def expect(text: str, at: int, closing: str) -> int:
    """Offset behind `closing`, which must stand at `at` or behind blanks there."""
    at = skip_space(text, at)
    if text.startswith(closing, at):
        return at + len(closing)
    if text.startswith("{", at):
        raise Unreadable("it holds two JSON objects; write one call for each")
    raise Unreadable(f"{closing} is missing behind the arguments")


def content_of(value: Any, keys: tuple[str, ...] = ("arguments",)) -> Content:
    """The call in a JSON object {"name": ..., "arguments": {...}}; `keys` are the names the arguments may have."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"] | ({"id": value["id"]} if "id" in value else {})
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise Unreadable(f"expected one JSON object with 'name' and '{keys[0]}'")
    found = [key for key in keys if key in value]
    if not found:
        raise Unreadable(f"'{keys[0]}' is missing")
    arguments = value[found[0]]
    if not isinstance(arguments, dict):
        raise Unreadable(f"'{found[0]}' must be a JSON object, not {type(arguments).__name__}")
    call_id = value.get("id")
    return Content(value["name"], arguments, call_id if isinstance(call_id, str) else None)
