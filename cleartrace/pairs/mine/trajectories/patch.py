"""Unified diffs as data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)$")
_TEST_FILE = re.compile(r"(^|/)(tests?|testing)/|(^|/)(test_[^/]*|[^/]*_test|conftest)\.py$")
_SWAP = {"+": "-", "-": "+", " ": " ", "\\": "\\"}


@dataclass(frozen=True)
class Hunk:
    """`lines` carry their sign in the first character. Line numbers count from 1."""

    old_start: int
    new_start: int
    section: str
    lines: tuple[str, ...]

    def side(self, signs: str) -> tuple[str, ...]:
        """Lines of those signs, without the sign: `" -"` is the text before the change, `"+"` what was added."""
        return tuple(line[1:] for line in self.lines if line[0] in signs)

    @property
    def changed_at(self) -> tuple[int, ...]:
        """Per run of changed lines, the line before the change where it is, from 0 within the hunk.

        Lines that are only added belong to the line above them.
        """
        found: list[int] = []
        before, last = 0, " "
        for i, line in enumerate(self.lines):
            if line[0] != " " and last == " ":
                found.append(max(0, before - (line[0] == "+" and i > 0)))
            before += line[0] != "+"
            last = line[0]
        return tuple(found)

    @property
    def text(self) -> str:
        old, new = len(self.side(" -")), len(self.side(" +"))
        head = f"@@ -{self.old_start},{old} +{self.new_start},{new} @@ {self.section}".rstrip()
        return "\n".join((head, *self.lines))


@dataclass(frozen=True)
class FilePatch:
    """Changes of one file. `old` is empty for a new file, `new` for a deleted one."""

    old: str
    new: str
    hunks: tuple[Hunk, ...]

    @property
    def path(self) -> str:
        return self.new or self.old

    @property
    def is_test(self) -> bool:
        return bool(_TEST_FILE.search(self.path))

    def side(self, signs: str) -> tuple[str, ...]:
        return tuple(line for hunk in self.hunks for line in hunk.side(signs))

    @property
    def text(self) -> str:
        names = (
            f"--- a/{self.old}" if self.old else "--- /dev/null",
            f"+++ b/{self.new}" if self.new else "+++ /dev/null",
        )
        return "\n".join((*names, *(hunk.text for hunk in self.hunks))) + "\n"

    @property
    def reversed(self) -> FilePatch:
        """What undoes it: in SWE-smith the patch of an instance puts the bug in, and the fix is its reverse."""

        def turned(hunk: Hunk) -> Hunk:
            return replace(
                hunk,
                old_start=hunk.new_start,
                new_start=hunk.old_start,
                lines=tuple(_removed_first(_SWAP[line[0]] + line[1:] for line in hunk.lines)),
            )

        return FilePatch(self.new, self.old, tuple(turned(hunk) for hunk in self.hunks))


def _removed_first(lines: Iterator[str]) -> Iterator[str]:
    """Diffs print the removed lines of a run before the added ones."""
    removed: list[str] = []
    added: list[str] = []
    for line in lines:
        if line[0] == " ":
            yield from removed + added
            removed, added = [], []
            yield line
        else:
            (removed if line[0] == "-" else added).append(line)
    yield from removed + added


def _name(line: str) -> str:
    name = line[4:].split("\t")[0].strip().strip('"')
    return "" if name == "/dev/null" else re.sub(r"^[abciw]/", "", name)


def _hunk_body(lines: list[str], start: int, old: int, new: int) -> list[str]:
    """The lines after a hunk's head, until both counts are used up. An empty line is an empty context line."""
    body: list[str] = []
    for line in lines[start:]:
        if old <= 0 and new <= 0:
            break
        sign = line[:1] or " "
        if sign not in " +-\\":
            break
        old -= sign in " -"
        new -= sign in " +"
        if sign != "\\":
            body.append(line or " ")
    return body


def parse_patch(text: str) -> tuple[FilePatch, ...]:
    """Files of a unified diff; text around it is passed over. A file without hunks (mode, binary) is left out."""
    lines = text.splitlines()
    files: list[FilePatch] = []
    old = new = ""
    hunks: list[Hunk] = []

    def close() -> None:
        if hunks and (old or new):
            files.append(FilePatch(old, new, tuple(hunks)))
        hunks.clear()

    i = 0
    while i < len(lines):
        line = lines[i]
        if line.startswith("--- ") and i + 1 < len(lines) and lines[i + 1].startswith("+++ "):
            close()
            old, new = _name(line), _name(lines[i + 1])
            i += 2
            continue
        if found := _HUNK.match(line):
            counts = [int(found[n] or 1) if found[n] != "0" else 0 for n in (2, 4)]
            body = _hunk_body(lines, i + 1, *counts)
            hunks.append(Hunk(int(found[1]), int(found[3]), found[5], tuple(body)))
            i += 1 + len(body)
            continue
        if line.startswith("diff --git "):
            close()
            old = new = ""
        i += 1
    close()
    return tuple(files)
