"""Text that can be sent and stored."""

from __future__ import annotations

from typing import Any

from cleartrace.trajectory.record import written


def utf8_safe(value: Any) -> Any:
    """A JSON value whose strings UTF-8 can hold: half a character becomes U+FFFD."""
    if isinstance(value, str):
        return written(value)
    if isinstance(value, (list, tuple)):
        return [utf8_safe(item) for item in value]
    if isinstance(value, dict):
        return {written(str(name)): utf8_safe(item) for name, item in value.items()}
    return value
