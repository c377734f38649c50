"""What is wrong with a playbook, as far as can be told without running it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from cleartrace.context.playbook.files import next_number
from cleartrace.context.playbook.leak import LeakGuard, Secret, SecretKind
from cleartrace.context.playbook.render import Count
from cleartrace.context.playbook.rules import OTHERS
from cleartrace.context.playbook.similar import NEAR, near_pairs
from cleartrace.context.playbook.text import same, section_key, words
from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.episodes.types import Record
from cleartrace.llm.tokens import count_tokens


class Problem(str, Enum):
    """Kinds of findings."""

    EMPTY = "empty"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near duplicate"
    CONTRADICTION = "contradiction"
    TOO_LONG = "too long"
    UNKNOWN_SECTION = "unknown section"
    EMPTY_SECTION = "empty section"
    ID = "id"
    NEVER_HELPFUL = "never helpful"
    LEAK = "leak"


class Finding(Record):
    """`entry_ids`: the entries it is about; none for the playbook as a whole."""

    problem: Problem
    entry_ids: tuple[str, ...] = ()
    message: str


@dataclass(frozen=True)
class LintOptions:
    """What counts as wrong.

    Args:
        max_tokens: of one entry; 0 for no limit.
        near: likeness from which two entries are near duplicates, 0 to 1.
        patience: iterations after which an entry that never helped is reported; 0 for never.
        secrets: answers and texts of tasks that no entry may give away.
    """

    max_tokens: int = 200
    near: float = NEAR
    patience: int = 5
    secrets: tuple[Secret, ...] = ()
    count: Count = count_tokens


def lint(playbook: Playbook, options: LintOptions | None = None) -> list[Finding]:
    """Findings by kind, and in the order of the entries within a kind. None: nothing is wrong."""
    options = options or LintOptions()
    return [finding for check in _CHECKS for finding in check(playbook, options)]


def _lengths(playbook: Playbook, options: LintOptions) -> Iterable[Finding]:
    for entry in playbook.entries:
        if not entry.text.strip():
            yield Finding(problem=Problem.EMPTY, entry_ids=(entry.id,), message="it says nothing")
        elif 0 < options.max_tokens < (n := options.count(entry.text)):
            message = f"{n} tokens; at most {options.max_tokens} are wanted: split it"
            yield Finding(problem=Problem.TOO_LONG, entry_ids=(entry.id,), message=message)


def _likeness(playbook: Playbook, options: LintOptions) -> Iterable[Finding]:
    for first, second, alike in near_pairs([entry for entry in playbook.entries if entry.text.strip()], options.near):
        ids = (first.id, second.id)
        if same(first.text) == same(second.text):
            yield Finding(problem=Problem.DUPLICATE, entry_ids=ids, message="they have the same text")
        elif _forbids(first.text) != _forbids(second.text):
            message = f"{alike:.0%} alike, but only one of them forbids: do they contradict each other?"
            yield Finding(problem=Problem.CONTRADICTION, entry_ids=ids, message=message)
        else:
            message = f"{alike:.0%} alike: merge them, or say what differs"
            yield Finding(problem=Problem.NEAR_DUPLICATE, entry_ids=ids, message=message)


_NEGATIONS = frozenset({"not", "no", "never", "don't", "doesn't", "cannot", "can't", "without", "avoid", "mustn't"})


def _forbids(text: str) -> bool:
    """Whether an odd number of its words negate."""
    return sum(word.replace("’", "'") in _NEGATIONS for word in words(text)) % 2 == 1


def _sections(playbook: Playbook, _: LintOptions) -> Iterable[Finding]:
    used = {section_key(entry.section) for entry in playbook.entries}
    if playbook.sections:
        allowed = {section_key(name) for name in playbook.sections}
        for entry in playbook.entries:
            if section_key(entry.section) not in allowed:
                message = f"section {entry.section!r} is not among {', '.join(playbook.sections)}"
                yield Finding(problem=Problem.UNKNOWN_SECTION, entry_ids=(entry.id,), message=message)
    for name in playbook.sections:
        if section_key(name) not in used and section_key(name) != OTHERS:
            yield Finding(problem=Problem.EMPTY_SECTION, message=f"section {name!r} has no entry")


def _ids(playbook: Playbook, _: LintOptions) -> Iterable[Finding]:
    """Ids that could come to mean two entries, or that lead nowhere."""
    ids = {entry.id for entry in playbook.entries}
    alike: dict[str, str] = {}
    for entry in playbook.entries:
        if not entry.id or any(mark in entry.id for mark in "[],; \n\t"):
            message = f"the id {entry.id!r} cannot be cited: blanks, commas and brackets end an id"
            yield Finding(problem=Problem.ID, entry_ids=(entry.id,), message=message)
        if next_number([entry.id]) > playbook.next_id:
            message = f"its id would be given again: the next new entry is e{playbook.next_id}"
            yield Finding(problem=Problem.ID, entry_ids=(entry.id,), message=message)
        if (twin := alike.setdefault(entry.id.casefold(), entry.id)) != entry.id:
            message = "their ids differ in capitals only"
            yield Finding(problem=Problem.ID, entry_ids=(twin, entry.id), message=message)
        for gone in sorted(_named(entry) - ids):
            message = f"it refers to [{gone}], which is not there"
            yield Finding(problem=Problem.ID, entry_ids=(entry.id,), message=message)


def _named(entry: Entry) -> set[str]:
    """Ids of our form that the text names in brackets."""
    inside = (piece.partition("]")[0].strip() for piece in entry.text.split("[")[1:] if "]" in piece)
    return {one for one in inside if next_number([one]) > 1}


def _earnings(playbook: Playbook, options: LintOptions) -> Iterable[Finding]:
    born = [entry.source.iteration for entry in playbook.entries if entry.source]
    newest = max(born, default=0)
    for entry in playbook.entries:
        own = [former for former in entry.history if not former.entry_id]
        if entry.helpful or any(former.helpful for former in own):
            continue
        harmful = entry.harmful + sum(former.harmful for former in own)
        age = newest - entry.source.iteration if entry.source else 0
        if harmful:
            message = f"{harmful} times harmful in all its revisions, and never helpful"
        elif 0 < options.patience <= age:
            message = f"not once helpful in {age} iterations"
        else:
            continue
        yield Finding(problem=Problem.NEVER_HELPFUL, entry_ids=(entry.id,), message=message)


def _leaks(playbook: Playbook, options: LintOptions) -> Iterable[Finding]:
    if not options.secrets:
        return
    guard = LeakGuard(options.secrets)
    for entry in playbook.entries:
        for leak in guard.leaks(entry.text):
            task = f"task {leak.secret.task_id}" if leak.secret.task_id else "a task"
            whence = f"the answer of {task}" if leak.secret.kind is SecretKind.ANSWER else f"the text of {task}"
            message = f"it gives away {leak.found!r} ({leak.kind.value}), out of {whence}"
            yield Finding(problem=Problem.LEAK, entry_ids=(entry.id,), message=message)


_CHECKS: Sequence[Callable[[Playbook, LintOptions], Iterable[Finding]]] = (
    _lengths,
    _likeness,
    _sections,
    _ids,
    _earnings,
    _leaks,
)
