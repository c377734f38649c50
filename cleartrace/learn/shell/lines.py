"""Files that a command names, and lines of a file of any size, without holding more than a piece of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cleartrace.learn.shell.files import Files
from cleartrace.learn.shell.output import Output
from cleartrace.learn.shell.words import Word

PIECE = 1 << 16
"""Bytes of a line that are read; the rest of a longer line comes as lines of its own."""


def named(words: Sequence[Word], files: Files, out: Output) -> list[Path]:
    """Raises Refused for a word that names nothing, and TooLong."""
    found: list[Path] = []
    for word in words:
        out.tick()
        found += files.find(word)
    return found


def read_lines(files: Files, path: Path, out: Output) -> Iterator[str]:
    """Raises Refused for what is not a regular file, and TooLong."""
    with files.open(path) as file:
        while piece := file.readline(PIECE):
            out.tick()
            yield piece.decode("utf-8", "replace").rstrip("\r\n")
