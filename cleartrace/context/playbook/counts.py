"""What entries earned, and the ones that go for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from cleartrace.context.playbook.apply import without
from cleartrace.context.playbook.types import Entry, Playbook

HELPFUL, HARMFUL, NEUTRAL = "helpful", "harmful", "neutral"


class Verdict(Protocol):
    """What somebody says an entry did in a run: `learn.protocol.EntryVerdict`, or any value with these."""

    @property
    def entry_id(self) -> str: ...

    @property
    def tag(self) -> str:
        """`helpful`, `harmful` or `neutral`; a string enum will do."""
        ...


@dataclass(frozen=True)
class Tally:
    """Verdicts on one entry."""

    helpful: int = 0
    harmful: int = 0
    neutral: int = 0


@dataclass(frozen=True)
class Counted:
    """`tallies`: by entry id, those assessed this round. `unknown`: ids of verdicts that fit no entry, in order."""

    playbook: Playbook
    tallies: dict[str, Tally]
    unknown: tuple[str, ...] = ()


def count(playbook: Playbook, verdicts: Iterable[Verdict]) -> Counted:
    """Add verdicts to the counts of the entries' present revisions. Neutral ones mark an entry and change no count."""
    tags: dict[str, Counter[str]] = {}
    unknown: list[str] = []
    known = {entry.id for entry in playbook.entries}
    for verdict in verdicts:
        if verdict.entry_id in known and verdict.tag in (HELPFUL, HARMFUL, NEUTRAL):
            tags.setdefault(verdict.entry_id, Counter())[verdict.tag] += 1
        else:
            unknown.append(verdict.entry_id)
    tallies = {id: Tally(seen[HELPFUL], seen[HARMFUL], seen[NEUTRAL]) for id, seen in tags.items()}
    entries = tuple(_counted(entry, tallies.get(entry.id)) for entry in playbook.entries)
    return Counted(playbook.model_copy(update={"entries": entries}), tallies, tuple(unknown))


def _counted(entry: Entry, tally: Tally | None) -> Entry:
    if tally is None:
        return entry
    return entry.model_copy(update={"helpful": entry.helpful + tally.helpful, "harmful": entry.harmful + tally.harmful})


def with_counts(playbook: Playbook, latest: Playbook) -> Playbook:
    """The playbook with the counts of `latest` for revisions that stand in both."""
    now = {(entry.id, entry.revision, entry.text): entry for entry in latest.entries}
    entries = tuple(
        entry.model_copy(update={"helpful": found.helpful, "harmful": found.harmful})
        if (found := now.get((entry.id, entry.revision, entry.text)))
        else entry
        for entry in playbook.entries
    )
    return playbook.model_copy(update={"entries": entries})


@dataclass(frozen=True)
class Pruned:
    """`removed`: entries that went, as they were."""

    playbook: Playbook
    removed: tuple[Entry, ...] = ()


def prune(playbook: Playbook, threshold: int) -> Pruned:
    """Remove entries whose present revision was harmful `threshold` times more often than helpful; 0 removes none."""
    if threshold < 0:
        raise ValueError(f"a threshold of pruning is 0 or more, got {threshold}")
    removed = tuple(entry for entry in playbook.entries if threshold and entry.harmful - entry.helpful >= threshold)
    return Pruned(without(playbook, {entry.id for entry in removed}), removed)
