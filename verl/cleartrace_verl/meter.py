"""What a rollout costs, measured while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

from cleartrace.purify.counters import Effort


class Meter:
    """Adds up one rollout's `Effort`."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {field.name: field.default for field in fields(Effort)}  # type: ignore[misc]

    def count(self, name: str, amount: int) -> None:
        """Add `amount` to a field of `Effort`."""
        self._sums[name] += amount

    @contextmanager
    def time(self, name: str, *, retry: bool = False) -> Iterator[None]:
        """Add the seconds inside to `<name>_s`, and for a retry to `retry_<name>_s` too."""
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            self._sums[f"{name}_s"] += seconds
            if retry:
                self._sums[f"retry_{name}_s"] += seconds

    def effort(self) -> Effort:
        return Effort(**self._sums)  # type: ignore[arg-type]
