"""JSON at its fastest; texts may hold lone surrogates, and numbers more than 64 bits."""

from __future__ import annotations

import json
from typing import Any

import orjson


def dump_json(value: Any) -> bytes:
    """Escapes what UTF-8 cannot carry. Raises TypeError for what JSON cannot."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()


def load_json(data: bytes) -> Any:
    """Raises ValueError or RecursionError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)
