"""Six ways to break a program, as a small model breaks one. The caller keeps only what really fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

Corruption = Callable[[str, Random], str]
STRANGERS = ("x", "y", "value", "result", "total")
MISSPELLED = ("prnt", "pint", "prin", "Print")


def unbalanced_parenthesis(code: str, rng: Random) -> str:
    """Drop one closing parenthesis."""
    return _drop(code, rng.choice([m.start() for m in re.finditer(r"\)", code)]))


def undefined_name(code: str, rng: Random) -> str:
    """Read a name that was never set, in place of a variable or a number of the last line."""
    head, _, last = code.rpartition("\n")
    uses = list(re.finditer(r"\b(?:[ansb]|[0-9]+)\b", last))
    if not uses:
        return code
    use = rng.choice(uses)
    last = last[: use.start()] + rng.choice(STRANGERS) + last[use.end() :]
    return f"{head}\n{last}" if head else last


def text_plus_number(code: str, rng: Random) -> str:
    """Concatenate a string with what is printed."""
    return re.sub(r"print\((.*)\)$", r"print('' + (\1))", code)


def missing_definition(code: str, rng: Random) -> str:
    """Leave out the first line of a program of several lines."""
    return code.partition("\n")[2]


def stray_quote(code: str, rng: Random) -> str:
    """Open a string that never ends."""
    at = rng.choice([m.end() for m in re.finditer(r"print\(", code)])
    return code[:at] + "'" + code[at:]


def misspelled_print(code: str, rng: Random) -> str:
    return code.replace("print", rng.choice(MISSPELLED))


CORRUPTIONS: tuple[Corruption, ...] = (
    unbalanced_parenthesis,
    undefined_name,
    text_plus_number,
    missing_definition,
    stray_quote,
    misspelled_print,
)


def corrupt(code: str, rng: Random) -> str:
    """`code` with one random corruption; may return it unchanged where the corruption does not apply."""
    return rng.choice(CORRUPTIONS)(code, rng)


def _drop(code: str, index: int) -> str:
    return code[:index] + code[index + 1 :]
