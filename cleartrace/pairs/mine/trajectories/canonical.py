"""Forms of a line of code that survive indentation, quoting and escaping.

A line is compared after entities and backslash escapes are decoded and everything but word characters is dropped, so
that `'a\\"b'`, `&quot;a`, a `sed` command and a re-indented copy of it are one string. Not seen through: base64, URL
encoding, and a copy that is cut by line numbers in its middle.
"""

from __future__ import annotations

import re
from functools import lru_cache

_ENTITY = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(lt|gt|amp|quot|apos|nbsp));")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'", "nbsp": " "}
_CODEPOINT = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2}))")
_CONTROL = re.compile(r"\\+[abfnrtv0]")
_NOT_WORD = re.compile(r"\W+")
_NOT_DENSE = re.compile(r"[\s'\"`\\]+")
MAX_LAYERS = 6


def _character(code: int) -> str:
    return chr(code) if code <= 0x10FFFF else ""


def _entity(found: re.Match[str]) -> str:
    if found[3]:
        return _NAMED[found[3]]
    return _character(int(found[1]) if found[1] else int(found[2], 16))


def _codepoint(found: re.Match[str]) -> str:
    return _character(int(found[1] or found[2] or found[3], 16))


def decode(text: str) -> str:
    """Entities and code points, layer by layer (JSON inside HTML inside JSON)."""
    if "&" not in text and "\\" not in text:
        return text
    for _ in range(MAX_LAYERS):
        plain = _CODEPOINT.sub(_codepoint, _ENTITY.sub(_entity, text))
        if plain == text:
            break
        text = plain
    if any("\ud800" <= c <= "\udfff" for c in text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


@lru_cache(maxsize=1 << 14)
def words(line: str) -> str:
    """Word characters only, escapes of control characters left out."""
    return _NOT_WORD.sub("", _CONTROL.sub("", decode(line)))


@lru_cache(maxsize=1 << 14)
def bare_words(line: str) -> str:
    """Word characters only; a backslash before a letter is dropped and the letter is kept."""
    return _NOT_WORD.sub("", decode(line))


@lru_cache(maxsize=1 << 14)
def dense(line: str) -> str:
    """Without whitespace, quotes and backslashes: for lines that are mostly punctuation."""
    return _NOT_DENSE.sub("", _CONTROL.sub("", decode(line)))
