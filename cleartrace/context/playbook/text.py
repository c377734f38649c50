"""Texts of entries: what UTF-8 can hold, and when two of them are the same."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any

from pydantic import BeforeValidator

from cleartrace.trajectory.record import written

_WORD = re.compile(r"\w+(?:['’]\w+)*")


def _utf8(value: Any) -> Any:
    return written(value) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_utf8)]
"""A text that can be written to a file: half characters become U+FFFD."""


def same(text: str) -> str:
    """Two texts with equal `same` are one: case, width of characters and white space do not count.

    Example:
        >>> same("Check  the Total\\n") == same("check the total")
        True
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words(text: str) -> list[str]:
    """Words of `same(text)` in order; marks between them are left out.

    Example:
        >>> words("Don't pay twice, e.g. 12.50!")
        ["don't", 'pay', 'twice', 'e', 'g', '12', '50']
    """
    return _WORD.findall(same(text))


def section_key(name: str) -> str:
    """How section names are compared and new ones written: lower case, underscores for spaces.

    Example:
        >>> section_key(" Common Mistakes ")
        'common_mistakes'
    """
    return "_".join(name.replace("_", " ").casefold().split())
