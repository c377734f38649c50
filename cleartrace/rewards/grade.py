"""What a grader says of one answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Grade:
    """`pred` is the answer as written, "" when there is none; `error` says why it could not be compared.

    `value`: the score where it is not that of right or wrong. `tests`: the outcome of each test, "" without tests.
    `ungraded`: nobody could judge it, for reasons that are not the model's.
    """

    correct: bool
    pred: str
    error: str = ""
    value: float | None = None
    tests: str = ""
    ungraded: bool = False
