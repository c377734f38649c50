"""The files a shell may read: those under one folder, whatever a path or a link says."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from cleartrace.learn.shell.words import Refused, Word

MAX_MATCHES = 200


class Files:
    """Paths as an agent writes them, relative to `root` or absolute below "/", which stands for `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve(strict=True)

    def find(self, word: Word) -> list[Path]:
        """The files or folders a word names; a pattern may name several. Raises Refused for none."""
        if not word.glob:
            return [self.at(word.text)]
        found = list(self._matches(word.text))
        if not found:
            raise Refused(f"no file matches {word.text}")
        if len(found) > MAX_MATCHES:
            raise Refused(f"{word.text} matches {len(found)} files; at most {MAX_MATCHES} at once")
        return found

    def at(self, text: str) -> Path:
        """One existing file or folder. Raises Refused."""
        if "\0" in text:
            raise Refused("a path holds no null character")
        try:
            path = (self.root / text.lstrip("/")).resolve()
        except (OSError, RuntimeError):
            raise Refused(f"{text}: the path cannot be followed") from None
        if path != self.root and self.root not in path.parents:
            raise Refused(f"{text}: only what lies below the folder you were given can be read")
        if not path.exists():
            raise Refused(f"{text}: there is no such file or folder; `ls` shows what there is")
        return path

    def name(self, path: Path) -> str:
        """A path as the agent writes it."""
        return "." if path == self.root else path.relative_to(self.root).as_posix()

    def children(self, folder: Path) -> list[Path]:
        """Of a folder, by name; links that lead out of the root are not there."""
        return [path for path in sorted(folder.iterdir()) if self._inside(path)]

    def below(self, path: Path) -> Iterator[Path]:
        """The regular files at or below a path, folders in order of name; links are not followed into folders."""
        if path.is_file():
            yield path
        elif path.is_dir():
            for child in self.children(path):
                if not (child.is_symlink() and child.is_dir()):
                    yield from self.below(child)

    def open(self, path: Path) -> BinaryIO:
        """A regular file, for reading. Raises Refused."""
        if path.is_dir():
            raise Refused(f"{self.name(path)} is a folder; `ls` shows what is in it")
        try:
            # Not following links at this last step, nor waiting for a pipe: what `at` resolved is what is opened.
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Refused(f"{self.name(path)}: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise Refused(f"{self.name(path)} is not a regular file")
        return os.fdopen(handle, "rb")

    def _inside(self, path: Path) -> bool:
        try:
            real = path.resolve()
        except (OSError, RuntimeError):
            return False
        return real.exists() and self.root in real.parents

    def _matches(self, pattern: str) -> Iterator[Path]:
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise Refused(f"{pattern}: a pattern cannot go upwards")
        here = [self.root]
        for i, part in enumerate(parts):
            below = (child for folder in here if folder.is_dir() for child in self.children(folder))
            here = [child for child in below if fnmatchcase(child.name, part)]
            if i < len(parts) - 1:
                here = [child for child in here if child.is_dir() and not child.is_symlink()]
        yield from dict.fromkeys(path.resolve() for path in here)
