"""One task: a question, its exact answer and programs that print the answer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum

HELD_OUT_SHARE = 5
"""One question in `HELD_OUT_SHARE` belongs to the held-out split."""


class Split(str, Enum):
    """Which side of the data a question may appear on."""

    TRAIN = "train"
    HELD_OUT = "val"


@dataclass(frozen=True)
class Task:
    """`programs` are complete Python sources; each prints exactly `answer` and a newline."""

    family: str
    question: str
    answer: str
    programs: tuple[str, ...]
    level: int = 2

    @property
    def split(self) -> Split:
        return split_of(self.question)


def split_of(question: str) -> Split:
    """Split of a question, decided by its text alone: no seed can move a held-out question into training."""
    digest = hashlib.sha256(question.encode()).digest()
    return Split.HELD_OUT if int.from_bytes(digest[:8], "big") % HELD_OUT_SHARE == 0 else Split.TRAIN
