"""Edits made: a pure function from a playbook and operations to another playbook and an account of each operation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.rules import Refused, Rules
from cleartrace.context.playbook.text import same
from cleartrace.context.playbook.types import Entry, Playbook, Revision, Source
from cleartrace.episodes.types import Record


class Change(Record):
    """An edit that was made.

    Args:
        added, changed: ids of entries that are new, and of those with another text or section.
        removed: entries that are gone, as they were.
        note: what was done otherwise than asked for.
    """

    operation: Operation
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[Entry, ...] = ()
    note: str = ""


class Rejected(Record):
    """An edit that was not made, and why."""

    operation: Operation
    reason: str


@dataclass(frozen=True)
class Applied:
    """`applied` and `rejected` together are the operations that were given, each once and in order."""

    playbook: Playbook
    applied: tuple[Change, ...] = ()
    rejected: tuple[Rejected, ...] = ()


NOBODY = Source(iteration=0)
"""Of edits that no loop made."""


def apply(
    playbook: Playbook, operations: Sequence[Operation], rules: Rules | None = None, source: Source = NOBODY
) -> Applied:
    """Make the edits in order; each one sees what those before it did. An edit is made whole or not at all.

    Args:
        source: of all edits; an operation's own `source_tasks` and `rationale` take the place of those in it.

    Example:
        >>> done = apply(Playbook(), [Operation(op=Op.ADD, texts=("Check the total before paying.",), section="Pay")])
        >>> [(entry.id, entry.section, entry.text) for entry in done.playbook.entries]
        [('e1', 'pay', 'Check the total before paying.')]
        >>> apply(done.playbook, [Operation(op=Op.DELETE, entry_ids=("e2",))]).rejected[0].reason
        'there is no entry e2'
    """
    rules = rules or Rules()
    applied: list[Change] = []
    rejected: list[Rejected] = []
    removed: set[str] = set()
    for operation in operations:
        try:
            if rules.add_only and operation.op is not Op.ADD:
                raise Refused(f"only ADD is allowed, not {operation.op.value}")
            playbook, change = _DO[operation.op](_Edit(playbook, operation, rules, source, removed))
        except Refused as reason:
            rejected.append(Rejected(operation=operation, reason=str(reason)))
        else:
            applied.append(change)
            removed.update(entry.id for entry in change.removed)
    return Applied(playbook, tuple(applied), tuple(rejected))


@dataclass(frozen=True)
class _Edit:
    """One operation and what it is made on. `removed`: ids that went before it."""

    playbook: Playbook
    operation: Operation
    rules: Rules
    source: Source
    removed: Collection[str]

    @property
    def own_source(self) -> Source:
        return self.source.model_copy(
            update={
                "tasks": self.operation.source_tasks or self.source.tasks,
                "reason": self.operation.rationale or self.source.reason,
            }
        )

    def entries(self, fewest: int, most: int | None, wanted: str) -> list[Entry]:
        ids = list(dict.fromkeys(self.operation.entry_ids))
        if len(ids) < fewest or (most is not None and len(ids) > most):
            raise Refused(f"{self.operation.op.value} needs {wanted}, got {len(ids)}")
        return [self._entry(id) for id in ids]

    def _entry(self, id: str) -> Entry:
        if found := self.playbook.entry(id):
            return found
        gone = id in self.removed
        raise Refused(f"there is no entry {id}" + (" any more: an earlier edit removed it" if gone else ""))

    def texts(self, fewest: int, most: int | None, wanted: str, instead_of: Sequence[Entry] = ()) -> list[str]:
        """Checked texts. `instead_of`: entries whose texts go, which may therefore come again."""
        texts = self.operation.texts
        if len(texts) < fewest or (most is not None and len(texts) > most):
            raise Refused(f"{self.operation.op.value} needs {wanted}, got {len(texts)}")
        own = {entry.id for entry in instead_of}
        others = [entry for entry in self.playbook.entries if entry.id not in own]
        checked = [self.rules.text(text, others) for text in texts]
        if len({same(text) for text in checked}) < len(checked):
            raise Refused("two of the texts are the same")
        return checked

    def section_or(self, kept: str) -> tuple[str, str]:
        return (
            self.rules.section(self.operation.section, self.playbook) if self.operation.section.strip() else (kept, "")
        )


def _add(edit: _Edit) -> tuple[Playbook, Change]:
    """`entry_ids` of an ADD mean nothing: ids are given here."""
    (text,) = edit.texts(1, 1, "one text")
    section, note = edit.rules.section(edit.operation.section, edit.playbook)
    edit.rules.room(edit.playbook, 1)
    playbook, new = _with_new(edit.playbook, [Entry(id="", section=section, text=text, source=edit.own_source)])
    return playbook, Change(operation=edit.operation, added=new, note=note)


def _update(edit: _Edit) -> tuple[Playbook, Change]:
    (entry,) = edit.entries(1, 1, "one entry")
    (text,) = edit.texts(1, 1, "one text", [entry])
    section, note = edit.section_or(entry.section)
    if (text, section) == (entry.text, entry.section):
        raise Refused(f"UPDATE changes nothing: {entry.id} reads so already")
    changed = _rewritten(entry, text, section, edit)
    return _replaced(edit.playbook, changed), Change(operation=edit.operation, changed=(entry.id,), note=note)


def _delete(edit: _Edit) -> tuple[Playbook, Change]:
    (entry,) = edit.entries(1, 1, "one entry")
    return without(edit.playbook, (entry.id,)), Change(operation=edit.operation, removed=(entry,))


def _merge(edit: _Edit) -> tuple[Playbook, Change]:
    """The first entry named lives on with the new text; the others go into its history."""
    first, *others = edit.entries(2, None, "two or more entries")
    (text,) = edit.texts(1, 1, "one text", [first, *others])
    section, note = edit.section_or(first.section)
    joined = _rewritten(first, text, section, edit)
    lineage = tuple(_former(other, other.id) for other in others)
    joined = joined.model_copy(update={"history": (*joined.history, *lineage)})
    playbook = without(_replaced(edit.playbook, joined), [other.id for other in others])
    return playbook, Change(operation=edit.operation, changed=(first.id,), removed=tuple(others), note=note)


def _split(edit: _Edit) -> tuple[Playbook, Change]:
    """The entry keeps the first text; each other text becomes an entry that remembers where it came from."""
    (entry,) = edit.entries(1, 1, "one entry")
    first, *rest = edit.texts(2, None, "two or more texts", [entry])
    section, note = edit.section_or(entry.section)
    edit.rules.room(edit.playbook, len(rest))
    playbook = _replaced(edit.playbook, _rewritten(entry, first, section, edit))
    origin = (_former(entry, entry.id),)
    parts = [Entry(id="", section=section, text=text, source=edit.own_source, history=origin) for text in rest]
    playbook, new = _with_new(playbook, parts)
    return playbook, Change(operation=edit.operation, added=new, changed=(entry.id,), note=note)


_DO: dict[Op, Callable[[_Edit], tuple[Playbook, Change]]] = {
    Op.ADD: _add,
    Op.UPDATE: _update,
    Op.DELETE: _delete,
    Op.MERGE: _merge,
    Op.SPLIT: _split,
}


def _former(entry: Entry, of: str = "") -> Revision:
    return Revision(
        revision=entry.revision,
        text=entry.text,
        helpful=entry.helpful,
        harmful=entry.harmful,
        source=entry.source,
        entry_id=of,
    )


def _rewritten(entry: Entry, text: str, section: str, edit: _Edit) -> Entry:
    """A new revision; where only the section changes, the same one, for counts belong to a text (R8)."""
    if text == entry.text:
        return entry.model_copy(update={"section": section})
    decay = edit.rules.decay
    return entry.model_copy(
        update={
            "text": text,
            "section": section,
            "revision": entry.revision + 1,
            "helpful": decay.left(entry.helpful),
            "harmful": decay.left(entry.harmful),
            "source": edit.own_source,
            "history": (*entry.history, _former(entry)),
        }
    )


def _replaced(playbook: Playbook, changed: Entry) -> Playbook:
    entries = tuple(changed if entry.id == changed.id else entry for entry in playbook.entries)
    return playbook.model_copy(update={"entries": entries})


def without(playbook: Playbook, ids: Collection[str]) -> Playbook:
    """The playbook without these entries. Their ids are not given again."""
    kept = tuple(entry for entry in playbook.entries if entry.id not in ids)
    return playbook.model_copy(update={"entries": kept})


def _with_new(playbook: Playbook, new: Sequence[Entry]) -> tuple[Playbook, tuple[str, ...]]:
    """Entries at the end, each under the next free id."""
    taken = {entry.id for entry in playbook.entries}
    number, named = playbook.next_id, []
    for entry in new:
        while f"e{number}" in taken:
            number += 1
        named.append(entry.model_copy(update={"id": f"e{number}"}))
        number += 1
    changed = playbook.model_copy(update={"entries": (*playbook.entries, *named), "next_id": number})
    return changed, tuple(entry.id for entry in named)
