"""Rules of the house, as sentences an agent can read, and how the simulated agent reads them out of any text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

HOUSE_DESK = "D0"
"""Where an item goes that no rule sends elsewhere."""

_SENTENCE = re.compile(r"marked ([A-Z]+) that weighs more than (\d+) kg goes to desk (D\d+)")


@dataclass(frozen=True)
class Item:
    """What is sent. `mark` '' is one that cannot be read. `cancelled`: part of the order's text, not of the order."""

    mark: str
    weight: int
    cancelled: bool = False


@dataclass(frozen=True)
class Rule:
    """An item of that mark above so many kg goes to that desk."""

    mark: str
    above: int
    desk: str

    @property
    def text(self) -> str:
        return f"An item marked {self.mark} that weighs more than {self.above} kg goes to desk {self.desk}."

    def fires(self, item: Item) -> bool:
        return item.mark == self.mark and item.weight > self.above


@dataclass(frozen=True)
class Reading:
    """A context as the simulated agent takes it in.

    Args:
        claims: mark -> rules that the text states about it, with the number of the line they stand in.
        lines: texts of the lines that are neither empty nor headings.
    """

    claims: dict[str, tuple[tuple[Rule, int], ...]]
    lines: tuple[str, ...]
    words: int

    def desks(self, item: Item) -> frozenset[str]:
        """Where the text sends the item."""
        return frozenset(rule.desk for rule, _ in self.claims.get(item.mark, ()) if rule.fires(item))

    def used(self, item: Item) -> tuple[int, ...]:
        """Lines that say something on the item."""
        return tuple(line for rule, line in self.claims.get(item.mark, ()) if rule.fires(item))


def rules_in(text: str) -> tuple[Rule, ...]:
    """Every rule that the text states, in order.

    Example:
        >>> rules_in("- [e1] " + Rule("KITE", 40, "D7").text)
        (Rule(mark='KITE', above=40, desk='D7'),)
    """
    return tuple(Rule(mark, int(above), desk) for mark, above, desk in _SENTENCE.findall(text))


@lru_cache(maxsize=8192)
def read(text: str) -> Reading:
    """The text, line by line. Headings (`#`) count as words only."""
    lines = tuple(line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#"))
    claims: dict[str, tuple[tuple[Rule, int], ...]] = {}
    for number, line in enumerate(lines):
        for rule in rules_in(line):
            claims[rule.mark] = (*claims.get(rule.mark, ()), (rule, number))
    return Reading(claims, lines, len(text.split()))
