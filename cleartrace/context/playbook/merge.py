"""Three-way merge of playbooks that grew apart from a common base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cleartrace.context.playbook.diff import header
from cleartrace.context.playbook.files import next_number
from cleartrace.context.playbook.merge_entries import Choice, Conflict, Side, additions, merged_entry
from cleartrace.context.playbook.text import same
from cleartrace.context.playbook.types import Entry, Playbook


@dataclass(frozen=True)
class Merged:
    """Without conflicts, or with the preferred side in their places.

    `renamed`: by side, {old id: id here} of new entries whose id both sides had given, or whose text was there already.
    """

    playbook: Playbook
    conflicts: tuple[Conflict, ...] = ()
    renamed: dict[Side, dict[str, str]] = field(default_factory=dict)


def merge(base: Playbook, ours: Playbook, theirs: Playbook, prefer: Side = Side.OURS) -> Merged:
    """What both sides did to `base`. Without conflicts it does not matter which side is which.

    Counts are evidence and add up. Two new entries of one id both stay, one under a new id; a new entry whose text is
    there already joins the one that has it. An entry that one side removed and the other only counted is gone.
    """
    if ours == theirs or theirs == base:
        return Merged(ours)
    if ours == base:
        return Merged(theirs)
    choice = Choice(prefer)
    old, mine, other = (_by_id(book) for book in (base, ours, theirs))
    kept: dict[str, Entry] = {}
    for id in _order(old, mine, other, choice):
        entry = merged_entry(old[id], mine.get(id), other.get(id), choice)
        if entry is not None:
            kept[id] = entry
    _report_twins(kept, choice)
    number = max(base.next_id, ours.next_id, theirs.next_id, next_number([*old, *mine, *other]))
    new = [[entry for id, entry in side.items() if id not in old] for side in (mine, other)]
    entries, number, renamed = additions(kept, new[0], new[1], number)
    fields = _fields(header(base), header(ours), header(theirs), choice)
    playbook = Playbook.model_validate({**fields, "next_id": number, "entries": entries})
    return Merged(playbook, tuple(choice.conflicts), renamed)


def _by_id(book: Playbook) -> dict[str, Entry]:
    return {entry.id: entry for entry in book.entries}


def _order(
    old: Mapping[str, Entry], mine: Mapping[str, Entry], other: Mapping[str, Entry], choice: Choice
) -> list[str]:
    """Ids of the base: those all have in the order of the side that changed it, then those that one side removed."""
    orders = [[id for id in side if id in old and id in mine and id in other] for side in (old, mine, other)]
    chosen: list[str] = choice.of(*orders, where="order", what="both sides put the entries into another order")
    return chosen + [id for id in old if id not in chosen]


def _report_twins(kept: Mapping[str, Entry], choice: Choice) -> None:
    """Two entries that the sides rewrote to one text cannot both be meant."""
    first: dict[str, Entry] = {}
    for entry in kept.values():
        twin = first.setdefault(same(entry.text), entry)
        if twin is not entry:
            choice.conflicts.append(Conflict(entry.id, f"it now reads as {twin.id} does", entry.text, twin.text))


def _fields(old: dict[str, Any], mine: dict[str, Any], other: dict[str, Any], choice: Choice) -> dict[str, Any]:
    """Everything but entries and `next_id`; sections one by one."""
    fields: dict[str, Any] = {}
    for name in sorted({*old, *mine, *other} - {"sections", "next_id"}):
        fields[name] = choice.of(old.get(name), mine.get(name), other.get(name), name, "both sides changed it")
    told = [one.get("sections") or {} for one in (old, mine, other)]
    sections = {
        name: choice.of(*(one.get(name) for one in told), where=f"section {name}", what="both sides changed it")
        for name in sorted({name for one in told for name in one})
    }
    fields["sections"] = {name: text for name, text in sections.items() if text is not None}
    return {name: value for name, value in fields.items() if value is not None}
