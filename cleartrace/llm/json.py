"""JSON in a model's text: every value that can be read there, the likeliest answer first; a schema decides (R14)."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

from cleartrace.llm.text import utf8_safe

_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_OPEN = re.compile(r"[{\[]")
_STRING_OR_SLIP = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.DOTALL)
_DECODER = json.JSONDecoder(strict=False)
_MOST_STARTS = 2000
"""Brackets that are tried: a text of brackets alone must not cost minutes."""
_MOST_REPAIRS = 50
_REPAIR_CHARS = 200_000


def json_candidates(text: str) -> Iterator[Any]:
    """Objects and lists in `text`, none twice: the whole text, then outermost values from the last to the first, then
    values inside those.

    Read with care for what models write: fences, prose with brackets around the value, line ends inside strings,
    comments, commas before a closing bracket, Python's literals. A value that was cut off is never completed.

    Example:
        >>> list(json_candidates('see [abc] and {x}: {"a": [1, 2,]}'))
        [{'a': [1, 2]}, [1, 2]]
    """
    outer = _outermost(text)
    seen: set[str] = set()
    nested = (inner for value in reversed(outer) for inner in _inside(value))
    for value in map(utf8_safe, [*reversed(outer), *nested]):
        key = repr(value)
        if key not in seen:
            seen.add(key)
            yield value


def _outermost(text: str) -> list[Any]:
    """Values in the order of the text. A fence counts as if its content stood alone."""
    whole = _read(text.strip())
    if whole is not None:
        return [whole]
    fenced = [value for block in _FENCE.findall(text) if (value := _read(block.strip())) is not None]
    return _scan(text) + fenced


def _scan(text: str) -> list[Any]:
    found, position, repairs = [], 0, 0
    for _ in range(_MOST_STARTS):
        start = _OPEN.search(text, position)
        if start is None:
            break
        position = start.start()
        try:
            value, position = _DECODER.raw_decode(text, position)
            found.append(value)
            continue
        except RecursionError:  # no answer nests this deep, and every bracket would cost as much again
            break
        except ValueError:
            pass
        end = _closing(text, position) if repairs < _MOST_REPAIRS else None
        repairs += 1
        value = _repaired(text[position:end]) if end else None
        if value is None or end is None:
            position += 1
        else:
            found.append(value)
            position = end
    return found


def _read(text: str) -> Any:
    """An object or a list that is all of `text`; None where it is not one."""
    if not text or text[0] not in "{[":
        return None
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return _repaired(text)


def _repaired(text: str) -> Any:
    """With comments and surplus commas taken out, or as a Python literal; None where neither reads."""
    tidy = _STRING_OR_SLIP.sub(lambda found: found.group() if found.group().startswith('"') else "", text)
    try:
        return _DECODER.decode(tidy)
    except (ValueError, RecursionError):
        pass
    try:
        value = ast.literal_eval(text.strip())
        json.dumps(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


def _closing(text: str, start: int) -> int | None:
    """One past the bracket that closes the one at `start`, strings of both quotes left alone; None where it is open."""
    depth, quote, skip = 0, "", False
    for index in range(start, min(len(text), start + _REPAIR_CHARS)):
        char = text[index]
        if skip:
            skip = False
        elif quote:
            skip = char == "\\"
            quote = "" if char == quote else quote
        elif char == '"' or (char == "'" and text[index - 1] in " \n\t{[:,("):
            quote = char
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
            if depth == 0:
                return index + 1
    return None


def _inside(value: Any) -> Iterator[Any]:
    """Objects and lists within `value`, outer before inner."""
    level = [value]
    while level:
        children = [child for parent in level for child in (parent.values() if isinstance(parent, dict) else parent)]
        level = [child for child in children if isinstance(child, (dict, list))]
        yield from level
