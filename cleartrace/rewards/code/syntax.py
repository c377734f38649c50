"""Python's parser, for keys only: never for what a model wrote."""

from __future__ import annotations

import ast
import threading

# Python 3.11 counts the depth of a syntax tree for all threads together, and raises SystemError when two parse at the
# same time (CPython issue 106905).
_LOCK = threading.Lock()
_FAILURES = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)


class NotPython(ValueError):
    """A text that should be Python is not; the message says why."""


def statements(code: str) -> list[ast.stmt]:
    """Raises NotPython."""
    try:
        with _LOCK:
            return ast.parse(code).body
    except _FAILURES as error:
        raise NotPython(f"{type(error).__name__}: {error}") from None


def expression(text: str) -> ast.expr:
    """Raises NotPython."""
    try:
        with _LOCK:
            return ast.parse(text.strip(), mode="eval").body
    except _FAILURES as error:
        raise NotPython(f"{type(error).__name__}: {error}") from None


def literal(text: str) -> object:
    """The value of a Python literal. Raises NotPython."""
    try:
        with _LOCK:
            return ast.literal_eval(text.strip())
    except _FAILURES as error:
        raise NotPython(f"{type(error).__name__}: {error}") from None
