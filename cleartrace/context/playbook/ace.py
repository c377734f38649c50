"""Playbooks as ACE writes them: `[slug-00001] helpful=3 harmful=1 :: text` under headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cleartrace.context.playbook.files import from_json
from cleartrace.context.playbook.rules import OTHERS
from cleartrace.context.playbook.text import section_key
from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.data.errors import DataError

_HEADING = re.compile(r"#+\s*(.*?)\s*#*")
_ENTRY = re.compile(r"[-*]?\s*\[([^\]\s]+)\]\s*(?:helpful=(\d+)\s+harmful=(\d+)\s*::\s*)?(.*)")
_ACE_ID = re.compile(r"[a-z_]+-\d{5,}", re.ASCII)


def read_ace(text: str, where: Path | str = "ACE playbook") -> Playbook:
    """Lines without brackets belong to the entry before them. Counts may be missing.

    Errors: `DataError` that names the line, or ids that several entries share.

    Example:
        >>> book = read_ace("## CHECKS\\n[chk-00001] helpful=3 harmful=1 :: Read the total twice.")
        >>> book.entries[0].section, book.entries[0].helpful, book.entries[0].text
        ('checks', 3, 'Read the total twice.')
    """
    section = OTHERS
    rows: list[dict[str, object]] = []
    in_entry = False
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip()
        if not line.strip():
            continue
        if heading := _HEADING.fullmatch(line):
            section, in_entry = section_key(heading[1]) or OTHERS, False
        elif found := _ENTRY.fullmatch(line):
            id, helpful, harmful, start = found.groups()
            counts = {"helpful": int(helpful or 0), "harmful": int(harmful or 0)}
            rows.append({"id": id, "section": section, "text": start, **counts})
            in_entry = True
        elif in_entry:
            rows[-1]["text"] = f"{rows[-1]['text']}\n{line.removeprefix('  ')}"
        else:
            raise DataError(f"{where}, line {number}", f"neither a heading nor an entry: {line[:80]!r}")
    return from_json({"schema_version": 2, "entries": rows}, where)


def to_ace(playbook: Playbook) -> str:
    """Sections in capitals; ids that are not ACE's become `slug-00012`, and each text one line."""
    taken = {entry.id for entry in playbook.entries if _ACE_ID.fullmatch(entry.id)}
    blocks = []
    for section, entries in playbook.by_section():
        names = _names(section, entries, taken)
        lines = [
            f"[{name}] helpful={entry.helpful} harmful={entry.harmful} :: {' '.join(entry.text.split())}"
            for name, entry in zip(names, entries, strict=True)
        ]
        blocks.append("\n".join([f"## {' '.join(section.replace('_', ' ').upper().split())}", *lines]))
    return "\n\n".join(blocks) + "\n" if blocks else ""


def _names(section: str, entries: tuple[Entry, ...], taken: set[str]) -> Iterator[str]:
    """`taken` grows by what is given here."""
    initials = "".join(word[0] for word in re.findall(r"[a-z]+", section_key(section)))
    for entry in entries:
        if _ACE_ID.fullmatch(entry.id):
            yield entry.id
            continue
        digits = re.search(r"\d+$", entry.id)
        number = int(digits[0]) if digits and len(digits[0]) <= 5 else 1
        while (name := f"{initials or 'oth'}-{number:05d}") in taken:
            number += 1
        taken.add(name)
        yield name
