"""When an output or a returned value is what a test expects. Pure functions; nothing here is seen by a program."""

from __future__ import annotations

import math
import re
from typing import Any

from code_judge.jobs import Compare

NOT_RUN = "not_run"
_INTEGER = re.compile(r"([+-]?)0*([0-9]+)")


def texts_equal(actual: str, expected: str, how: Compare, tolerance: float = 0.0) -> bool:
    """Compare two outputs."""
    if how is Compare.STRIP:
        return actual.strip() == expected.strip()
    if how is Compare.LINES:
        return _lines(actual) == _lines(expected)
    one, other = actual.split(), expected.split()
    return len(one) == len(other) and all(_words_equal(a, b, tolerance) for a, b in zip(one, other, strict=True))


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _words_equal(one: str, other: str, tolerance: float) -> bool:
    if one == other:
        return True
    if tolerance == 0 and (a := _integer(one)) and (b := _integer(other)):
        return a == b
    if "_" in one or "_" in other:  # Python reads 1_0 as a number
        return False
    try:
        return _numbers_equal(float(one), float(other), tolerance)
    except ValueError:
        return False


def _integer(word: str) -> tuple[bool, str] | None:
    """Sign and digits: exact at any length, where a float is not. None for what is no whole number."""
    match = _INTEGER.fullmatch(word)
    return (match[1] == "-" and match[2] != "0", match[2]) if match else None


def _numbers_equal(one: float, other: float, tolerance: float) -> bool:
    return one == other or math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)


def values_equal(actual: Any, expected: Any, tolerance: float = 0.0) -> bool:
    """Compare a function's result, as `plain` gives it, with JSON. True is not 1, and NaN is what was asked for."""
    if isinstance(actual, bool) or isinstance(expected, bool):
        return actual is expected
    if isinstance(actual, (int, float)) and isinstance(expected, (int, float)):
        if actual != actual or expected != expected:
            return actual != actual and expected != expected
        return actual == expected or (tolerance > 0 and _numbers_equal(actual, expected, tolerance))
    if isinstance(actual, list) and isinstance(expected, list):
        return len(actual) == len(expected) and all(
            values_equal(a, b, tolerance) for a, b in zip(actual, expected, strict=True)
        )
    if isinstance(actual, dict) and isinstance(expected, dict):
        return actual.keys() == expected.keys() and all(
            values_equal(actual[key], expected[key], tolerance) for key in expected
        )
    return type(actual) is type(expected) and actual == expected


def plain(value: Any) -> Any:
    """JSON as a test states it, from a solution's encoded result: tuples are lists, sets sorted lists, keys strings.

    Raises ValueError, TypeError, KeyError or RecursionError for what no honest solution sends.
    """
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind, inner = value["$"], value["v"]
    if kind in ("tuple", "deque", "array"):
        return plain(inner)
    if kind in ("set", "frozenset"):
        return sorted(plain(inner), key=lambda item: (str(type(item)), item))
    if kind == "dict":
        return {_key(plain(key)): plain(item) for key, item in inner}
    if kind == "int":
        return int(inner, 16)
    if kind == "float":
        return float.fromhex(inner)
    return {"type": kind, "value": inner}


def _key(key: Any) -> str:
    """As JSON writes a key."""
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return repr(key)
