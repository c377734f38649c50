"""From an entry to what it was learned from."""

from __future__ import annotations

from collections.abc import Iterator

from cleartrace.context.playbook.types import Entry, Source


def sources(entry: Entry) -> Iterator[Source]:
    """Of all texts it had, oldest first; texts of entries it was merged or split from are among them."""
    for known in (*(former.source for former in entry.history), entry.source):
        if known is not None:
            yield known


def came_from(entry: Entry, id: str) -> bool:
    """Whether a task or an episode of this id led to any of its texts."""
    return any(id in source.tasks or id in source.episodes for source in sources(entry))
