"""What became of each entry: which failure it came from, how it was rewritten, what it earned, why it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from cleartrace.context.playbook.types import Entry, Playbook, Revision, Source
from cleartrace.learn.credit import Credits, Effect
from cleartrace.learn.protocol import Reflection
from cleartrace.learn.rcl.state import IterationLog


class Fate(str, Enum):
    """Where an entry is now."""

    KEPT = "in the playbook"
    EDITED_AWAY = "removed by an edit"
    PRUNED = "pruned for its counts"
    COMPACTED = "left out for the budget"
    SWITCHED = "in a playbook that another one took the place of"


@dataclass(frozen=True)
class Failure:
    """A run that led to a text. `analysis`: what the reflector said; `score` None where the log has no such run."""

    task: str
    score: float | None
    episode: str
    analysis: str


@dataclass(frozen=True)
class Text:
    """One revision of an entry, with the counts it earned while it stood."""

    revision: int
    text: str
    iteration: int
    helpful: int
    harmful: int
    reason: str
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Story:
    """One entry from its first text to its end. `until`: iteration in which it went. `effect`: of its last text."""

    id: str
    section: str
    texts: tuple[Text, ...]
    fate: Fate
    until: int | None
    effect: Effect | None = None

    @property
    def helpful(self) -> int:
        return sum(text.helpful for text in self.texts)

    @property
    def harmful(self) -> int:
        return sum(text.harmful for text in self.texts)


Reflected = Mapping[int, Sequence[Reflection]]
"""Reflections by iteration."""


def stories(
    playbook: Playbook, logs: Sequence[IterationLog], reflected: Reflected, credits: Credits | None = None
) -> list[Story]:
    """Of every entry that ever was kept, in the order of their ids' first appearance."""
    by_number = {log.iteration: log for log in logs}
    ended = {entry.id: (entry, Fate.KEPT, None) for entry in playbook.entries}
    gone: list[tuple[Entry, Fate, int | None]] = []
    for log in logs:
        edits = [(entry, Fate.EDITED_AWAY) for change in log.edit.applied for entry in change.removed]
        edits += [(entry, Fate.PRUNED) for entry in log.edit.pruned]
        edits += [(entry, Fate.COMPACTED) for entry in log.edit.compacted]
        edits += [(entry, Fate.SWITCHED) for entry in log.edit.switched]
        # An edit that a policy took back removed nothing.
        gone += [(entry, fate, log.iteration) for entry, fate in edits if entry.id not in ended]
    found = [*gone, *ended.values()]
    told = [_story(entry, fate, until, by_number, reflected, credits) for entry, fate, until in found]
    return sorted({story.id: story for story in told}.values(), key=lambda story: (story.texts[0].iteration, story.id))


def _story(
    entry: Entry,
    fate: Fate,
    until: int | None,
    logs: Mapping[int, IterationLog],
    reflected: Reflected,
    credits: Credits | None,
) -> Story:
    now = Revision(
        revision=entry.revision, text=entry.text, helpful=entry.helpful, harmful=entry.harmful, source=entry.source
    )
    texts = tuple(_text(one, logs, reflected) for one in (*entry.history, now))
    effect = None if credits is None else next(
        (one.effect for one in credits.credits if (one.entry_id, one.revision) == (entry.id, entry.revision)), None
    )  # fmt: skip
    return Story(entry.id, entry.section, texts, fate, until, effect)


def _text(one: Revision, logs: Mapping[int, IterationLog], reflected: Reflected) -> Text:
    source = one.source or Source(iteration=0, reason="there from the start")
    failures = _failures(source, logs.get(source.iteration), reflected.get(source.iteration, ()))
    return Text(one.revision, one.text, source.iteration, one.helpful, one.harmful, source.reason, failures)


def _failures(source: Source, log: IterationLog | None, reflections: Sequence[Reflection]) -> tuple[Failure, ...]:
    found = []
    for task in source.tasks:
        analysis = next((one.analysis for one in reflections if task in one.task_ids), "")
        runs = [run for run in (log.runs if log else ()) if run.task == task and run.kind == "clean"]
        worst = min(runs, key=lambda run: (run.score is None, run.score), default=None)
        found.append(Failure(task, worst.score if worst else None, worst.episode if worst else "", analysis))
    return tuple(found)
