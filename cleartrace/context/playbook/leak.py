"""Whether advice says what it must not: answers, and words and values of the very tasks it was learned from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from cleartrace.context.playbook.entities import entities, is_telling, leak_tokens, telling_words
from cleartrace.episodes.types import Record

RUN = 7
"""Words in a row that make a quotation."""
_TELLING_IN_RUN = 4
_CLAIM = r"(?:answer|result|solution|output|value|total|count|reply|choice|option)s?"
_IS = r"(?:\s+(?:is|are|was|be|equals|will\s+be|should\s+be|must\s+be)|\s*[:=])"


class SecretKind(str, Enum):
    """An answer may not be said at all; a task's text may not be quoted, nor its own values named."""

    ANSWER = "answer"
    TASK = "task"


class Secret(Record):
    """`task_id`: what it belongs to. Tasks of one scenario may share a group, so that they count once."""

    text: str
    kind: SecretKind = SecretKind.ANSWER
    task_id: str = ""
    group: str = ""


class LeakKind(str, Enum):
    """`answer`: said in full, or claimed; `entity`: a value such as an address, an amount, an id, a name; `quotation`:
    a run of words."""

    ANSWER = "answer"
    ENTITY = "entity"
    QUOTATION = "quotation"


class Leak(Record):
    """`found`: what stands in the text, in lower case. `share`: of the secret's words, those given away, 0 to 1."""

    kind: LeakKind
    secret: Secret
    found: str
    share: float


def leaks(text: str, secrets: Iterable[Secret | str]) -> list[Leak]:
    """What `text` gives away. For many texts and the same secrets, keep a `LeakGuard`.

    Example:
        >>> [(leak.kind.value, leak.found) for leak in leaks("The code is KX-2291.", ["KX-2291"])]
        [('answer', 'kx-2291')]
        >>> leaks("Look the code up in the messages.", ["KX-2291"])
        []
    """
    return LeakGuard(secrets).leaks(text)


@dataclass(frozen=True)
class _Known:
    """A secret, read once."""

    secret: Secret
    tokens: tuple[str, ...]
    entities: frozenset[str]
    telling: bool


class LeakGuard:
    """Secrets that texts are held against.

    What many tasks have in common is the environment and no secret: a run of words or a value that occurs in
    `general_from` groups or more is no leak. None takes a twentieth of the groups, and four at least. Answers are
    secrets however often they occur.
    """

    def __init__(self, secrets: Iterable[Secret | str], general_from: int | None = None) -> None:
        given = [Secret(text=one) if isinstance(one, str) else one for one in secrets]
        self._known = [_read(one) for one in given if one.text.strip()]
        groups = {_group(n, known) for n, known in enumerate(self._known)}
        self._general_from = max(4, -(-len(groups) // 20)) if general_from is None else general_from
        self._runs: dict[tuple[str, ...], set[int]] = defaultdict(set)
        self._values: dict[str, set[int]] = defaultdict(set)
        for n, known in enumerate(self._known):
            for run in _runs(known.tokens):
                self._runs[run].add(n)
            for value in known.entities:
                self._values[value].add(n)

    def leaks(self, text: str) -> list[Leak]:
        """One for each secret and piece of text, answers first, in the order of the secrets."""
        tokens = leak_tokens(text)
        found = [*self._answers(text, tokens), *self._entities(text), *self._quotations(tokens)]
        said = {(id(leak.secret), leak.found) for leak in found if leak.kind is LeakKind.ANSWER}
        return [leak for leak in found if leak.kind is LeakKind.ANSWER or (id(leak.secret), leak.found) not in said]

    def _answers(self, text: str, tokens: list[str]) -> Iterator[Leak]:
        joined = f" {' '.join(tokens)} "
        for known in self._known:
            if known.secret.kind is not SecretKind.ANSWER or not known.tokens:
                continue
            answer = " ".join(known.tokens)
            if (known.telling and f" {answer} " in joined) or (not known.telling and _claimed(text, known.secret.text)):
                yield Leak(kind=LeakKind.ANSWER, secret=known.secret, found=answer, share=1.0)

    def _entities(self, text: str) -> Iterator[Leak]:
        for value in sorted(entities(text)):
            for n in self._secret_ones(self._values.get(value, set())):
                known = self._known[n]
                share = min(1.0, len(leak_tokens(value)) / max(1, len(known.tokens)))
                yield Leak(kind=LeakKind.ENTITY, secret=known.secret, found=value, share=share)

    def _quotations(self, tokens: list[str]) -> Iterator[Leak]:
        """Neighbouring runs of one secret are one quotation."""
        covered: dict[int, list[int]] = defaultdict(list)
        for start, run in enumerate(zip(*(tokens[k:] for k in range(RUN)), strict=False)):
            for n in self._secret_ones(self._runs.get(run, set())):
                covered[n].append(start)
        for n in sorted(covered):
            for first, last in _stretches(covered[n]):
                words = tokens[first : last + RUN]
                share = min(1.0, len(words) / len(self._known[n].tokens))
                yield Leak(kind=LeakKind.QUOTATION, secret=self._known[n].secret, found=" ".join(words), share=share)

    def _secret_ones(self, holders: set[int]) -> list[int]:
        """Of the secrets that have a run or a value, those whose leak it would be."""
        if len({_group(n, self._known[n]) for n in holders}) < self._general_from:
            return sorted(holders)
        return sorted(n for n in holders if self._known[n].secret.kind is SecretKind.ANSWER)


def _read(secret: Secret) -> _Known:
    tokens = tuple(leak_tokens(secret.text))
    return _Known(secret, tokens, frozenset(entities(secret.text)), is_telling(secret.text))


def _group(n: int, known: _Known) -> str:
    return known.secret.group or known.secret.task_id or f"#{n}"


def _runs(tokens: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Runs of words with enough among them that say something."""
    for start in range(len(tokens) - RUN + 1):
        run = tokens[start : start + RUN]
        if len(telling_words(run)) >= _TELLING_IN_RUN:
            yield run


def _stretches(starts: list[int]) -> Iterator[tuple[int, int]]:
    """(first, last) of starts that follow each other."""
    first = last = starts[0]
    for start in starts[1:]:
        if start > last + 1:
            yield first, last
            first = start
        last = start
    yield first, last


def _claimed(text: str, answer: str) -> bool:
    """An answer that could be said by chance, such as 7 or yes, but is called the answer."""
    said = re.escape(answer.strip())
    return bool(re.search(rf"\b{_CLAIM}{_IS}\s*[\"'`(*]*{said}(?![\w.,]*\w)", text, re.IGNORECASE))
