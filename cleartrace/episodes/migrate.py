"""Older schema versions are brought up to date when they are read; the files stay as they were written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Raw = dict[str, Any]
Steps = Mapping[int, Callable[[Raw], Raw]]
"""`steps[v]` turns a record of version v into one of version v + 1."""


def _first_numbered(raw: Raw) -> Raw:
    """Version 0: records without a version have the shape of version 1."""
    return raw


TRAJECTORY: Steps = {0: _first_numbered}
OUTCOME: Steps = {0: _first_numbered}
VERSION = 1
"""Of trajectories and of outcomes, as `types.py` writes them."""


class SchemaError(ValueError):
    """A record of a version that this code cannot read."""


def upgrade(raw: Raw, steps: Steps, current: int = VERSION) -> Raw:
    """A copy of `raw` in the shape of version `current`. A record without a version has version 0.

    Raises:
        SchemaError: a later version, no version number, or no way up from it.
    """
    version = raw.get("schema_version", 0)
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        raise SchemaError(f"schema_version is {version!r}, not a number")
    if version > current:
        raise SchemaError(f"schema version {version} was written by a later cleartrace; this one reads up to {current}")
    now = dict(raw)
    for step in range(version, current):
        if step not in steps:
            raise SchemaError(f"schema version {step} can no longer be read")
        now = {**steps[step](now), "schema_version": step + 1}
    return now
