"""What differs between two playbooks: a value that can be shown, stored and applied."""

from __future__ import annotations

from enum import Enum
from typing import Any

from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.episodes.types import Record


class Kind(str, Enum):
    """What happened to an entry. `moved`: to another section; `counted`: other counts; `noted`: some other field."""

    ADDED = "added"
    REMOVED = "removed"
    REWRITTEN = "rewritten"
    MOVED = "moved"
    COUNTED = "counted"
    NOTED = "noted"


class EntryChange(Record):
    """`before` is None for an added entry, `after` for a removed one."""

    kind: Kind
    id: str
    before: Entry | None = None
    after: Entry | None = None


class Diff(Record):
    """From one playbook to another.

    Args:
        changes: entries, in the order of the second playbook, removed ones last.
        order: ids of the second playbook where adding and removing alone would give another order; else None.
        fields: other fields of the playbook that differ, each with `before` and `after`, where the sides have it.
    """

    changes: tuple[EntryChange, ...] = ()
    order: tuple[str, ...] | None = None
    fields: dict[str, dict[str, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self.changes or self.order is not None or self.fields)


class DoesNotFit(ValueError):
    """A diff whose start is another playbook."""


def diff(before: Playbook, after: Playbook) -> Diff:
    """`patch(before, diff(before, after)) == after`."""
    old, new = ({entry.id: entry for entry in one.entries} for one in (before, after))
    changes = [
        EntryChange(kind=_kind(old.get(id), entry), id=id, before=old.get(id), after=entry)
        for id, entry in new.items()
        if old.get(id) != entry
    ]
    changes += [EntryChange(kind=Kind.REMOVED, id=id, before=entry) for id, entry in old.items() if id not in new]
    natural = tuple(_natural(old, new))
    return Diff(
        changes=tuple(changes),
        order=None if natural == tuple(new) else tuple(new),
        fields=_field_changes(before, after),
    )


def patch(playbook: Playbook, change: Diff) -> Playbook:
    """The playbook after `change`. Errors: `DoesNotFit` where it reads otherwise than the start of the diff."""
    entries = {entry.id: entry for entry in playbook.entries}
    for one in change.changes:
        if entries.get(one.id) != one.before:
            raise DoesNotFit(f"entry {one.id} is not as it was when the diff was made")
        if one.after is None:
            del entries[one.id]
        else:
            entries[one.id] = one.after
    if change.order is not None:
        if sorted(change.order) != sorted(entries):
            raise DoesNotFit("the diff puts other entries into order than there are")
        entries = {id: entries[id] for id in change.order}
    fields = header(playbook)
    for name, values in change.fields.items():
        if (name in fields) != ("before" in values) or fields.get(name) != values.get("before"):
            raise DoesNotFit(f"{name} is not as it was when the diff was made")
        fields.pop(name, None)
        fields |= {name: values["after"]} if "after" in values else {}
    return Playbook.model_validate({**fields, "entries": tuple(entries.values())})


def header(playbook: Playbook) -> dict[str, Any]:
    """All fields but the entries, unknown ones included."""
    return playbook.model_dump(mode="json", exclude={"entries"})


def _kind(before: Entry | None, after: Entry) -> Kind:
    if before is None:
        return Kind.ADDED
    if before.text != after.text:
        return Kind.REWRITTEN
    if before.section != after.section:
        return Kind.MOVED
    return Kind.COUNTED if (before.helpful, before.harmful) != (after.helpful, after.harmful) else Kind.NOTED


def _natural(old: dict[str, Entry], new: dict[str, Entry]) -> list[str]:
    """Old entries that stay, then new ones: the order that patching gives by itself."""
    return [id for id in old if id in new] + [id for id in new if id not in old]


def _field_changes(before: Playbook, after: Playbook) -> dict[str, dict[str, Any]]:
    old, new = header(before), header(after)
    changed = {}
    for name in dict.fromkeys([*old, *new]):
        sides = (("before", old), ("after", new))
        values = {side: fields[name] for side, fields in sides if name in fields}
        if len(values) < 2 or values["before"] != values["after"]:
            changed[name] = values
    return changed
