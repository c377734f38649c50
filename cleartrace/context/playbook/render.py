"""A playbook as text, for the agent and for those who edit it; never longer than a cap."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.episodes.types import PartKind, PartRef
from cleartrace.llm.tokens import count_tokens

TITLE = "# Playbook"
Count = Callable[[str], int]
"""Tokens of a text."""


class View(str, Enum):
    """Who reads. All see ids (R5).

    `agent`: no counts, which are no business of whoever acts. `reflector`: with counts. `mutator`: with counts, and a
    star on entries that were assessed this round.
    """

    AGENT = "agent"
    REFLECTOR = "reflector"
    MUTATOR = "mutator"


@dataclass(frozen=True)
class Rendered:
    """`parts`: entries that are in `text`, in its order. `left_out`: those for which there was no room."""

    text: str
    parts: tuple[PartRef, ...] = ()
    left_out: tuple[PartRef, ...] = ()
    tokens: int = 0


def render(
    playbook: Playbook,
    view: View = View.AGENT,
    cap: int | None = None,
    count: Count = count_tokens,
    assessed: Collection[str] = (),
) -> Rendered:
    """Sections by name, their entries in order. An empty playbook is an empty text.

    Where not all fits into `cap` tokens, entries of the highest value (`best_first`) are kept whole and the others are
    left out. Equal playbooks give equal texts.

    Example:
        >>> entry = Entry(id="e1", section="common_mistakes", text="Never pay twice.", helpful=2, harmful=1)
        >>> print(render(Playbook(entries=(entry,)), View.REFLECTOR).text)
        # Playbook
        <BLANKLINE>
        ## Common Mistakes
        - [e1] (+2 -1) Never pay twice.
    """
    entries = playbook.entries
    text = _text(entries, view, assessed)
    if cap is not None and entries and count(text) > cap:
        entries, text = _fitting(playbook.entries, view, cap, count, assessed)
    shown = {entry.id for entry in entries}
    return Rendered(
        text,
        tuple(part(entry) for _, group in Playbook(entries=tuple(entries)).by_section() for entry in group),
        tuple(part(entry) for entry in playbook.entries if entry.id not in shown),
        count(text) if text else 0,
    )


def part(entry: Entry) -> PartRef:
    """What an episode notes of an entry that its agent saw."""
    return PartRef(kind=PartKind.ENTRY, id=entry.id, revision=entry.revision)


def best_first(entries: Sequence[Entry]) -> list[Entry]:
    """By net value (helpful - harmful), then by evidence, then the newest."""
    ranked = list(enumerate(entries))

    def key(item: tuple[int, Entry]) -> tuple[int, int, int, int]:
        place, entry = item
        born = entry.source.iteration if entry.source else -1
        return entry.harmful - entry.helpful, -(entry.helpful + entry.harmful), -born, -place

    return [entry for _, entry in sorted(ranked, key=key)]


def _fitting(
    entries: Sequence[Entry], view: View, cap: int, count: Count, assessed: Collection[str]
) -> tuple[tuple[Entry, ...], str]:
    """The best entries that fit, as they stand in the playbook, and their text.

    Chosen by a sum over pieces, which costs one count an entry; the whole text is then counted, and decides.
    """
    left = cap - count(TITLE)
    sections: set[str] = set()
    chosen: list[Entry] = []
    for entry in best_first(entries):
        heading = "" if entry.section in sections else f"\n\n{_heading(entry.section)}"
        price = count(f"{heading}\n{_line(entry, view, assessed)}")
        if price <= left:
            left -= price
            sections.add(entry.section)
            chosen.append(entry)
    while True:
        ids = {entry.id for entry in chosen}
        kept = tuple(entry for entry in entries if entry.id in ids)
        text = _text(kept, view, assessed)
        if not chosen or count(text) <= cap:
            return kept, text
        chosen.pop()


def _text(entries: Sequence[Entry], view: View, assessed: Collection[str]) -> str:
    if not entries:
        return ""
    blocks = [TITLE]
    for section, group in Playbook(entries=tuple(entries)).by_section():
        blocks.append("\n".join([_heading(section), *(_line(entry, view, assessed) for entry in group)]))
    return "\n\n".join(blocks)


def _heading(section: str) -> str:
    words = " ".join(section.replace("_", " ").split())
    return f"## {words.title() if words == words.lower() else words}"


def _line(entry: Entry, view: View, assessed: Collection[str]) -> str:
    """Further lines of a text are indented, so that no text can look like another entry."""
    counts = "" if view is View.AGENT else f"(+{entry.helpful} -{entry.harmful}) "
    mark = " *" if view is View.MUTATOR and entry.id in assessed else ""
    return f"- [{entry.id}] {counts}{indented(entry.text)}{mark}"


def indented(text: str) -> str:
    """All lines but the first moved in by two spaces."""
    return text.replace("\n", "\n  ")
