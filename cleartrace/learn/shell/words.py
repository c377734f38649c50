"""A command line as words. Nothing is ever expanded but patterns of file names, and nothing reaches a real shell."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

MAX_LINE = 4_000

_OPERATORS = {
    "|": "pipes are not available; run one command at a time",
    ";": "one command at a time",
    "&": "one command at a time, and none in the background",
    ">": "nothing can be written",
    "<": "there is no redirection; name the file as an argument",
    "(": "there are no subshells",
    ")": "there are no subshells",
    "`": "there is no command substitution",
    "$": "there are no variables and no substitution; put a $ of a pattern into single quotes",
    "#": "there are no comments; quote a # that is meant",
}
_IN_DOUBLE_QUOTES = "`$"


class Refused(ValueError):
    """Why a line is not run; shown to the agent."""


@dataclass(frozen=True)
class Word:
    """`text` without its quotes. `glob`: `*`, `?` or `[` stood outside quotes."""

    text: str
    glob: bool = False


def words(line: str) -> list[Word]:
    """Split a line by the quoting rules of POSIX shells.

    Raises:
        Refused: an operator, a substitution, a control character, an open quote, or nothing at all.

    Example:
        >>> [word.text for word in words("grep -n 'a b$' run/*.md")]
        ['grep', '-n', 'a b$', 'run/*.md']
    """
    if len(line) > MAX_LINE:
        raise Refused(f"the line has {len(line)} characters; at most {MAX_LINE} are read")
    line = line.strip()
    for char in line:
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char != "\t":
            raise Refused(f"the line holds the control character U+{ord(char):04X}; one plain line is one command")
    found = _split(line)
    if not found:
        raise Refused("there is no command")
    return found


def _split(line: str) -> list[Word]:
    found: list[Word] = []
    text, glob, started, quote = "", False, False, ""
    chars = iter(line)
    for char in chars:
        if quote == "'":
            quote, text = ("", text) if char == "'" else (quote, text + char)
        elif quote == '"':
            if char == '"':
                quote = ""
            elif char in _IN_DOUBLE_QUOTES:
                raise Refused(_OPERATORS[char])
            elif char == "\\":
                after = next(chars, "")
                text += after if after in '"\\$`' else char + after
            else:
                text += char
        elif char in "'\"":
            quote, started = char, True
        elif char in " \t":
            if started:
                found.append(Word(text, glob))
            text, glob, started = "", False, False
        elif char == "\\":
            text, started = text + next(chars, ""), True
        elif char in _OPERATORS and not (char == "#" and started):
            raise Refused(_OPERATORS[char])
        else:
            text, glob, started = text + char, glob or char in "*?[", True
    if quote:
        raise Refused(f"the quote {quote} is not closed")
    return [*found, Word(text, glob)] if started else found
