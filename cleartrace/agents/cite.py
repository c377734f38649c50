"""Which pieces of its context an agent says it used (R5)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cleartrace.episodes.types import PartRef

_ID = r"[A-Za-z0-9][\w.:-]*"
_BRACKETS = re.compile(rf"\[\s*({_ID}(?:\s*[,;]\s*{_ID})*)\s*\]")
_TAG = re.compile(r"<playbook_cite\b([^>]*?)(?:/>|>(.*?)(?:</playbook_cite\s*>|$))", re.DOTALL | re.IGNORECASE)
_LOOSE_TAG = re.compile(r"\bplaybook_cite\s*[:=]\s*([^\n<]*)", re.IGNORECASE)
_WORD = re.compile(_ID)
_NUMBERED = re.compile(r"[A-Za-z][A-Za-z_]*-\d+")
_IGNORED = {"id", "ids", "entry", "entries", "none", "and"}


@dataclass(frozen=True)
class Citations:
    """`known`: what was shown and is cited, in the order of the first mention, at the revision that was shown.
    `unknown`: ids that were cited and not shown."""

    known: tuple[PartRef, ...] = ()
    unknown: tuple[str, ...] = ()


def citations(texts: Iterable[str], parts: Iterable[PartRef]) -> Citations:
    """Read `[s-3]`, `[s-3, s-4]`, `<playbook_cite>s-3, s-4</playbook_cite>`, `<playbook_cite id="s-3"/>` and
    `playbook_cite: s-3`.

    Brackets hold many things; what stands in them is an unknown citation only when it looks like an id: letters, a
    dash, a number. In a tag, every word with a digit is one.

    Example:
        >>> from cleartrace.episodes.types import PartKind
        >>> shown = [PartRef(kind=PartKind.ENTRY, id="s-3", revision=2)]
        >>> found = citations(["As [s-3] says, and [s-9], see item [1]."], shown)
        >>> [(part.id, part.revision) for part in found.known], found.unknown
        ([('s-3', 2)], ('s-9',))
    """
    shown = {part.id: part for part in parts}
    known: dict[str, PartRef] = {}
    unknown: dict[str, None] = {}
    for text in texts:
        for id in _cited(text, shown):
            if id in shown:
                known.setdefault(id, shown[id])
            else:
                unknown.setdefault(id)
    return Citations(tuple(known.values()), tuple(unknown))


def _cited(text: str, shown: dict[str, PartRef]) -> list[str]:
    """Ids in the order of the text, also those that were not shown."""
    found = [
        (match.start(1), id)
        for match in _BRACKETS.finditer(text)
        for id in re.split(r"\s*[,;]\s*", match.group(1))
        if id in shown or _NUMBERED.fullmatch(id)
    ]
    tagged = [(match.start(), " ".join(filter(None, match.groups()))) for match in _TAG.finditer(text)]
    tagged += [(match.start(), match.group(1)) for match in _LOOSE_TAG.finditer(text)]
    for start, inside in tagged:
        words = (word.strip(".:-") for word in _WORD.findall(inside))
        found += [(start, id) for id in words if id in shown or (id.lower() not in _IGNORED and _has_digit(id))]
    return [id for _, id in sorted(found, key=lambda pair: pair[0])]


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)
