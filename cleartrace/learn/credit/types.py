"""What an entry is worth, and how that was found."""

from __future__ import annotations

from enum import Enum

from cleartrace.episodes.types import Record
from cleartrace.learn.credit.intervals import Effect


class Method(str, Enum):
    """How an effect was found. The first two are causal: runs differ in the entry alone."""

    LEAVE_ONE_OUT = "leave_one_out"
    DROPOUT = "dropout"
    CITATIONS = "citations"


class Credit(Record):
    """Of one entry at one revision. `effect`: score with the entry minus score without it, over the tasks measured."""

    entry_id: str
    revision: int
    method: Method
    effect: Effect


class Credits(Record):
    """Of a playbook's entries, in its order. `runs`: what they cost; `unscored`: runs that somebody else spoiled.

    Entries of which nothing could be measured are not in it.
    """

    credits: tuple[Credit, ...]
    runs: int = 0
    unscored: int = 0

    def of(self, entry_id: str) -> Effect | None:
        return next((one.effect for one in self.credits if one.entry_id == entry_id), None)
