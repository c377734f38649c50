"""Flags of a command: those it has, and no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cleartrace.learn.shell.words import Refused, Word


@dataclass(frozen=True)
class Arguments:
    """`flags`: letter -> its value, "" where it takes none. `rest`: what is left, in order."""

    flags: Mapping[str, str]
    rest: tuple[Word, ...]

    def has(self, letter: str) -> bool:
        return letter in self.flags

    def number(self, letter: str, default: int, *, least: int = 0, most: int = 10**12) -> int:
        """Raises Refused for something else than a number from `least` to `most`."""
        text = self.flags.get(letter)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 12 or not least <= int(text) <= most:
            raise Refused(f"-{letter} takes a number from {least} to {most}, not {text!r}")
        return int(text)


@dataclass(frozen=True)
class Flags:
    """`plain`: letters without a value; `valued`: letters with one. `short_number`: `-20` stands for `-n 20`."""

    command: str
    plain: str = ""
    valued: str = ""
    short_number: bool = False

    def read(self, words: Sequence[Word]) -> Arguments:
        """Raises Refused for a flag that is not on the list."""
        flags: dict[str, str] = {}
        rest: list[Word] = []
        left = list(words)
        while left:
            word = left.pop(0)
            if word.text == "--":
                rest += left
                break
            if not word.text.startswith("-") or word.text == "-":
                rest.append(word)
            elif self.short_number and word.text[1:].isdigit():
                flags["n"] = word.text[1:]
            else:
                self._letters(word.text[1:], flags, left)
        return Arguments(flags, tuple(rest))

    def _letters(self, letters: str, flags: dict[str, str], left: list[Word]) -> None:
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in self.plain:
                flags[letter] = ""
            elif letter in self.valued:
                if not letters and not left:
                    raise Refused(f"{self.command}: -{letter} needs a value")
                flags[letter] = letters or left.pop(0).text
                return
            else:
                known = " ".join(f"-{one}" for one in self.plain + self.valued) or "none"
                raise Refused(f"{self.command} has no flag -{letter}{letters} here; it has: {known}")
