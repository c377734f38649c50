"""Entries that say nearly the same."""

from __future__ import annotations

from collections.abc import Sequence

from cleartrace.context.playbook.text import words
from cleartrace.context.playbook.types import Entry

NEAR = 0.7
"""From this likeness on, two entries are near duplicates."""


def pieces(text: str) -> frozenset[tuple[str, ...]]:
    """Words and pairs of neighbouring words, so that their order counts."""
    found = words(text)
    return frozenset([(word,) for word in found]) | frozenset(zip(found, found[1:], strict=False))


def likeness(a: frozenset[tuple[str, ...]], b: frozenset[tuple[str, ...]]) -> float:
    """Share of common pieces, 0 to 1 (Dice 1945).

    Example:
        >>> one, two = pieces("Check the total before you pay."), pieces("Check the total before paying.")
        >>> round(likeness(one, two), 2)
        0.7
    """
    return 2 * len(a & b) / (len(a) + len(b)) if a and b else 0.0


def near_pairs(entries: Sequence[Entry], least: float = NEAR) -> list[tuple[Entry, Entry, float]]:
    """Pairs in the order of the entries, each with its likeness."""
    sets = [pieces(entry.text) for entry in entries]
    found = []
    for i, first in enumerate(sets):
        for j in range(i + 1, len(sets)):
            # The smaller set bounds what can be common: most pairs need no closer look.
            smaller, larger = sorted((len(first), len(sets[j])))
            if smaller and 2 * smaller >= least * (smaller + larger) and (alike := likeness(first, sets[j])) >= least:
                found.append((entries[i], entries[j], alike))
    return found


def near_groups(entries: Sequence[Entry], least: float = NEAR) -> list[tuple[Entry, ...]]:
    """Entries that are linked by near pairs, two or more to a group."""
    leader = {entry.id: entry.id for entry in entries}
    for first, second, _ in near_pairs(entries, least):
        old, new = leader[second.id], leader[first.id]
        leader = {id: new if lead == old else lead for id, lead in leader.items()}
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(leader[entry.id], []).append(entry)
    return [tuple(group) for group in groups.values() if len(group) > 1]
