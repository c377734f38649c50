"""A playbook and its entries: values. Everything that changes one returns another (`ops.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydantic import model_validator

from cleartrace.context.playbook.text import Text
from cleartrace.episodes.types import Record


class Source(Record):
    """Where a revision came from."""

    iteration: int
    tasks: tuple[Text, ...] = ()
    episodes: tuple[Text, ...] = ()
    reason: Text = ""


class Revision(Record):
    """A former text of an entry, with the counts it had earned.

    `entry_id`: the entry it belonged to, where that was another one: after MERGE and SPLIT. '' is this one.
    """

    revision: int
    text: Text
    helpful: int = 0
    harmful: int = 0
    source: Source | None = None
    entry_id: str = ""


class Entry(Record):
    """One piece of advice. Counts belong to the revision (R8); `history` holds former ones, oldest first.

    Args:
        id: short and stable, shown to the agent, never used again for another entry.
    """

    id: Text
    section: Text
    text: Text
    revision: int = 1
    helpful: int = 0
    harmful: int = 0
    source: Source | None = None
    history: tuple[Revision, ...] = ()


class Playbook(Record):
    """Entries in the order they came. `next_id`: number of the next new entry, so that ids are never used twice.

    `sections`: those allowed, with what belongs into each; empty allows any.
    """

    schema_version: int = 2
    entries: tuple[Entry, ...] = ()
    sections: dict[str, str] = {}
    next_id: int = 1

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Playbook:
        times = Counter(entry.id for entry in self.entries)
        if twice := sorted(id for id, n in times.items() if n > 1):
            raise ValueError(f"entries share the ids {', '.join(twice)}")
        return self

    def __len__(self) -> int:
        return len(self.entries)

    def entry(self, id: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.id == id), None)

    def by_section(self) -> Iterator[tuple[str, tuple[Entry, ...]]]:
        """Sections by name, each with its entries in order."""
        for section in sorted({entry.section for entry in self.entries}):
            yield section, tuple(entry for entry in self.entries if entry.section == section)
