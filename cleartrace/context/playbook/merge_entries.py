"""How single entries of two sides become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cleartrace.context.playbook.files import next_number
from cleartrace.context.playbook.text import same
from cleartrace.context.playbook.types import Entry, Revision

_WORDING = ("text", "revision", "source", "history", "helpful", "harmful")
"""Fields that belong to a text: they go together."""


class Side(str, Enum):
    """Whose version stands where both changed one thing."""

    OURS = "ours"
    THEIRS = "theirs"


@dataclass(frozen=True)
class Conflict:
    """Both sides changed one thing differently. `where`: an entry's id, or the name of a field; None is a removal."""

    where: str
    what: str
    ours: Any
    theirs: Any


@dataclass
class Choice:
    """Chooses between two sides, and collects what it could not choose without preference."""

    prefer: Side = Side.OURS
    conflicts: list[Conflict] = field(default_factory=list)

    def of(self, base: Any, ours: Any, theirs: Any, where: str, what: str) -> Any:
        """The value that was changed; where both were, the preferred one, and a conflict."""
        if ours == theirs or theirs == base:
            return ours
        if ours == base:
            return theirs
        self.conflicts.append(Conflict(where, what, ours, theirs))
        return ours if self.prefer is Side.OURS else theirs


def merged_entry(base: Entry, ours: Entry | None, theirs: Entry | None, choice: Choice) -> Entry | None:
    """An entry of the base after both sides; None where it is gone."""
    if ours is None or theirs is None:
        left = ours or theirs
        if left is None or (left.text, left.section) == (base.text, base.section):
            return None
        return choice.of(base, ours, theirs, base.id, "one side removed it and the other changed it")
    fields = _wording(base, ours, theirs, choice)
    dumps = [one.model_dump(mode="json") for one in (base, ours, theirs)]
    for name in sorted({name for dump in dumps for name in dump} - {"id", *_WORDING}):
        fields[name] = choice.of(
            *(dump.get(name) for dump in dumps), where=base.id, what=f"both sides changed its {name}"
        )
    return base.model_copy(update=fields)


def _wording(base: Entry, ours: Entry, theirs: Entry, choice: Choice) -> dict[str, Any]:
    rewrote = [one for one in (ours, theirs) if (one.text, one.revision) != (base.text, base.revision)]
    if not rewrote:
        history = choice.of(base.history, ours.history, theirs.history, base.id, "both sides changed its history")
        source = choice.of(base.source, ours.source, theirs.source, base.id, "both sides changed its source")
        return {"history": history, "source": source, **_plus(ours, base, theirs)}
    if len(rewrote) == 1:
        other = theirs if rewrote[0] is ours else ours
        return {**_taken(rewrote[0]), "history": _credited(rewrote[0].history, base, other)}
    if same(ours.text) == same(theirs.text):
        first = min(ours, theirs, key=Entry.canonical)
        return {**_taken(first), "helpful": ours.helpful + theirs.helpful, "harmful": ours.harmful + theirs.harmful}
    choice.conflicts.append(Conflict(base.id, "both sides rewrote it", ours.text, theirs.text))
    return _taken(ours if choice.prefer is Side.OURS else theirs)


def _taken(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in _WORDING}


def _plus(to: Entry | Revision, base: Entry, other: Entry) -> dict[str, int]:
    """Counts of `to` and what `other` counted since `base`."""
    return {
        "helpful": max(0, to.helpful + other.helpful - base.helpful),
        "harmful": max(0, to.harmful + other.harmful - base.harmful),
    }


def _credited(history: Sequence[Revision], base: Entry, other: Entry) -> tuple[Revision, ...]:
    """History of a side that rewrote, with what the other side meanwhile counted on the old text."""
    return tuple(
        former.model_copy(update=_plus(former, base, other))
        if not former.entry_id and former.revision == base.revision
        else former
        for former in history
    )


def additions(
    kept: Mapping[str, Entry], ours: Sequence[Entry], theirs: Sequence[Entry], number: int
) -> tuple[tuple[Entry, ...], int, dict[Side, dict[str, str]]]:
    """(kept and new entries, the next free number, what was renamed). Which side is which changes nothing."""
    renamed: dict[Side, dict[str, str]] = {}
    placed = dict(kept)
    by_text = {same(entry.text): id for id, entry in kept.items()}
    both = [(entry, Side.OURS) for entry in ours] + [(entry, Side.THEIRS) for entry in theirs]
    for entry, side in sorted(both, key=lambda item: (next_number([item[0].id]), item[0].id, item[0].canonical())):
        id, text = entry.id, same(entry.text)
        if text in by_text:
            id = by_text[text]
            first = placed[id]
            counts = {"helpful": first.helpful + entry.helpful, "harmful": first.harmful + entry.harmful}
            placed[id] = first.model_copy(update=counts)
        else:
            if id in placed:
                id, number = f"e{number}", number + 1
            placed[id] = entry.model_copy(update={"id": id})
            by_text[text] = id
        if id != entry.id:
            renamed.setdefault(side, {})[entry.id] = id
    return tuple(placed.values()), number, renamed
