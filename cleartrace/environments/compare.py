"""How a state differs from the one that was wanted, in words for a reflector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

_LONGEST = 160
_ABSENT = object()


def differences(expected: Any, actual: Any, limit: int = 12) -> list[str]:
    """One line for each place where two values of plain data differ, `limit` at most.

    Example:
        >>> differences({"paid": True, "sum": 3}, {"paid": False, "sum": 3})
        ['paid: expected True, is False']
    """
    return list(islice(_walk(expected, actual, ""), limit))


def _walk(expected: Any, actual: Any, path: str) -> Iterator[str]:
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key in [*expected, *(key for key in actual if key not in expected)]:
            where = f"{path}.{key}" if path else str(key)
            yield from _walk(expected.get(key, _ABSENT), actual.get(key, _ABSENT), where)
    elif _is_list(expected) and _is_list(actual) and len(expected) == len(actual):
        for index, (left, right) in enumerate(zip(expected, actual, strict=True)):
            yield from _walk(left, right, f"{path}[{index}]")
    elif expected is _ABSENT:
        yield f"{path}: should not be there, is {_short(actual)}"
    elif actual is _ABSENT:
        yield f"{path}: is missing, expected {_short(expected)}"
    elif expected != actual:
        yield f"{path}: expected {_short(expected)}, is {_short(actual)}"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
