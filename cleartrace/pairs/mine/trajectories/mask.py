"""Stage 5: take out of a context what shows the patch (spec 6.3).

Editing commands and printed diffs become a placeholder; then every line that holds a changed line of either patch does,
in both contexts alike, wherever it was printed. A context that cannot be cleaned is rejected, never passed on.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from cleartrace.pairs.mine.trajectories import canonical
from cleartrace.pairs.mine.trajectories.commands import replace_edits
from cleartrace.pairs.mine.trajectories.patch import FilePatch
from cleartrace.pairs.record import Message

EDIT, DIFF, LINES = "[edit hidden]", "[diff hidden]", "[lines hidden]"
MIN_LINE = 12
_MIN_WORDS = 6
_MAX_ROUNDS = 5
_PREFIX = re.compile(r"^\s*(?:\d+\s*[:\-|\t ]\s?|[+\->]\s?)?")
_DIFF_LINE = re.compile(r"^(?:[ +\-@\\]|index |new file|deleted file|old mode|new mode|similarity|rename |diff --git )")
_COMMON = frozenset(("else:", "try:", "pass", "return", "finally:", "break", "continue", "returnNone", "returnself"))


class LeakError(ValueError):
    """A changed line of a patch cannot be taken out of a context."""


@dataclass(frozen=True)
class Needles:
    """Canonical forms of the lines to hide.

    Args:
        words: of lines of at least `MIN_LINE` characters; found anywhere in a text.
        dense: the same for lines that are mostly punctuation.
        short: of shorter lines; these hide a line that is nothing else.
    """

    words: tuple[str, ...]
    dense: tuple[str, ...]
    short: frozenset[str]

    @classmethod
    def of(cls, lines: Iterable[str]) -> Needles:
        words: set[str] = set()
        dense: set[str] = set()
        short: set[str] = set()
        for line in lines:
            line = line.strip()
            if len(line) < MIN_LINE:
                form = canonical.dense(line)
                if len(form) >= 4 and form not in _COMMON:
                    short.add(form)
            elif len(form := canonical.words(line)) >= _MIN_WORDS:
                words |= {form, canonical.bare_words(line)}
            elif form := canonical.dense(line):
                dense.add(form)
        return cls(tuple(sorted(words)), tuple(sorted(dense)), frozenset(short))

    @classmethod
    def of_patches(cls, patches: Iterable[FilePatch], removed: bool = True) -> Needles:
        """Added lines, and with `removed` the lines they take the place of.

        The bug of one run is correct code in the other, so a removed line is seen in the supporting context only: left
        in, it lets BM25 find the answer without reading (measured in the audit).
        """
        return cls.of(line for patch in patches for line in patch.side("+-" if removed else "+"))


@dataclass(frozen=True)
class Masked:
    """A cleaned context and how many placeholders it has."""

    messages: tuple[Message, ...]
    edits: int
    views: int

    @property
    def count(self) -> int:
        return self.edits + self.views


def _spans(text: str, needle: str) -> Iterable[tuple[int, int]]:
    at = text.find(needle)
    while at >= 0:
        yield at, at + len(needle)
        at = text.find(needle, at + 1)


def _hit_lines(lines: Sequence[str], needles: Needles) -> set[int]:
    """Numbers of the lines that hold a needle, also one that is wrapped over several."""
    hits = {i for i, line in enumerate(lines) if canonical.dense(_PREFIX.sub("", line)) in needles.short}
    searches = (
        (canonical.words, needles.words),
        (canonical.bare_words, needles.words),
        (canonical.dense, needles.dense),
    )
    for form, wanted in searches:
        if not wanted:
            continue
        parts = [form(line) for line in lines]
        joined = "".join(parts)
        ends: list[int] | None = None
        for needle in wanted:
            for begin, end in _spans(joined, needle):
                ends = ends or list(accumulate(map(len, parts)))
                hits |= _overlapping(ends, begin, end)
    return hits


def _overlapping(ends: list[int], begin: int, end: int) -> set[int]:
    return set(range(bisect_right(ends, begin), bisect_left(ends, end) + 1))


def _replace_lines(lines: Sequence[str], hits: set[int], placeholder: str) -> tuple[list[str], int]:
    """Each run of hit lines becomes one placeholder."""
    kept: list[str] = []
    runs = 0
    for i, line in enumerate(lines):
        if i not in hits:
            kept.append(line)
        elif i - 1 not in hits:
            kept.append(placeholder)
            runs += 1
    return kept, runs


def hide_lines(text: str, needles: Needles) -> tuple[str, int]:
    """The text without the needles, and how many runs of lines were replaced.

    Raises:
        LeakError: a needle is still there after a few rounds (it contains the placeholder's own words).
    """
    lines, total = text.split("\n"), 0
    for _ in range(_MAX_ROUNDS):
        hits = _hit_lines(lines, needles)
        if not hits:
            return "\n".join(lines), total
        lines, runs = _replace_lines(lines, hits, LINES)
        total += runs
    raise LeakError("a changed line survives masking")


def hide_diffs(text: str) -> tuple[str, int]:
    """A printed diff shows the change by its signs, whatever its lines are."""
    if "diff --git " not in text:
        return text, 0
    lines = text.split("\n")
    hits: set[int] = set()
    inside = False
    for i, line in enumerate(lines):
        inside = line.startswith("diff --git ") or (inside and bool(_DIFF_LINE.match(line)))
        if inside:
            hits.add(i)
    kept, runs = _replace_lines(lines, hits, DIFF)
    return "\n".join(kept), runs


def leaks(messages: Iterable[Message], needles: Needles) -> bool:
    """Whether a needle is in one of the messages."""
    return any(_hit_lines(message.content.split("\n"), needles) for message in messages)


def mask(messages: Sequence[Message], needles: Needles) -> Masked:
    """Clean a context.

    Raises:
        LeakError: see `hide_lines`.
    """
    cleaned: list[Message] = []
    edits = views = 0
    for message in messages:
        text = message.content
        if message.role == "assistant":
            text, n = replace_edits(text, EDIT)
            edits += n
        text, diffs = hide_diffs(text)
        text, runs = hide_lines(text, needles)
        views += diffs + runs
        cleaned.append(Message(role=message.role, content=text))
    return Masked(tuple(cleaned), edits, views)
