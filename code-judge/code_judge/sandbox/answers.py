"""What an agent answers, as a typed record: an agent shares its process with a program, which can answer for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

_CLASS_CHARS = 200
_MESSAGE_CHARS = 2000
_MOST = 1 << 31
_MOST_S = 1e6


class Status(str, Enum):
    """How it ended what an agent was asked for."""

    OK = "ok"
    ERROR = "error"
    EXIT = "exit"
    DIED = "died"
    """The process that did it is gone, or gave no answer."""
    UNSUPPORTED = "unsupported"
    """Of a checker: the tests do what two processes cannot."""
    LOST = "lost"
    """Of a checker: the program's process is gone, or tests could not be prepared with what the program defines."""


class Malformed(ValueError):
    """This is no answer; the text says why."""


@dataclass(frozen=True)
class Answer:
    """Texts are short and can be sent as UTF-8, numbers are small and not negative."""

    status: Status
    error_class: str | None = None
    message: str | None = None
    line: int | None = None
    exit_code: int | None = None
    pid: int | None = None
    cpu_s: float = 0.0
    value: Any = None
    """JSON, as found: whoever reads it has to expect anything."""

    @classmethod
    def of(cls, said: Any) -> Answer:
        """From JSON. Long texts are cut, unknown fields are left out. Raises Malformed."""
        if not isinstance(said, dict):
            raise Malformed("an answer that is no object")
        try:
            status = Status(said.get("status"))
        except ValueError:
            raise Malformed("an answer without a status") from None
        return cls(
            status, _text(said, "error_class", _CLASS_CHARS), _text(said, "message", _MESSAGE_CHARS),
            _number(said, "line"), _number(said, "exit_code"), _number(said, "pid"), _seconds(said, "cpu_s"),
            said.get("value"),
        )  # fmt: skip


def _text(said: Mapping[str, Any], name: str, chars: int) -> str | None:
    value = said.get(name)
    if value is not None and not isinstance(value, str):
        raise Malformed(f"an answer whose {name} is no text")
    return None if value is None else value[:chars].encode("utf-8", "replace").decode()


def _number(said: Mapping[str, Any], name: str) -> int | None:
    value = said.get(name)
    if value is not None and not (type(value) is int and 0 <= value < _MOST):
        raise Malformed(f"an answer whose {name} is no such number")
    return value


def _seconds(said: Mapping[str, Any], name: str) -> float:
    value = said.get(name, 0.0)
    if type(value) not in (int, float) or not 0 <= value < _MOST_S:
        raise Malformed(f"an answer whose {name} are no seconds")
    return float(value)
