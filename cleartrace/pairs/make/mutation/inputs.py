"""Guesses at what a function can be called with."""

from __future__ import annotations

import random
import re

INTEGERS = ("0", "1", "2", "3", "5", "7", "10", "12", "17", "31", "64", "100", "255", "1000", "-1", "-4")
FLOATS = ("0.5", "1.0", "2.5", "-3.25", "10.0", "1e-05", "1234.5")
TEXTS = (
    "''", "'a'", "'hello world'", "'Foo_Bar-baz'", "'1.2.3'", "'1.0rc1'", "'  padded  '", "'a,b;c=d'", "'10-20,30-'",
    "'http://example.com:80/a/b?q=1#f'", "'/a/../b/./c'", "'The quick brown fox'", "'MIT OR Apache-2.0'", "'#ff8800'",
    "'%20a%2Fb'", "'<b>bold</b> & more'", "'a\\nb\\n\\nc'", "'straße'", "'key: value'", "'2024-02-29'", "'text/html'",
    "'x=1; y=\"two\"'", "'W/\"abc\", \"d\"'", "'gzip;q=0.5, *;q=0'",
)  # fmt: skip
SEQUENCES = (
    "[]", "[1, 2, 3]", "[3, 1, 2, 3]", "[5, 4, 4, 2, 1]", "['a', 'b', 'c']", "[(1, 2), (3, 4)]", "[1.5, 2.5]",
    "[[1, 2], [3]]", "(1, 2)", "(2, 7, 1)", "('a', 1)", "[('a', '1'), ('b', '2')]", "[10, 20, 30, 40, 50]",
    "[2, 2, 2, 2]", "[3, 3, 2, 2, 1, 1]", "(0, 5, 0, 3)", "(1, 3, 2, 2)", "[True, False]",
)  # fmt: skip
MAPPINGS = ("{}", "{'a': 1, 'b': 2}", "{'x': [1, 2]}", "{1: 'one', 2: 'two'}")
OTHERS = ("True", "False", "None", "b'abc'", "b'a b%20c'", "{1, 2, 3}")
POOL = INTEGERS + FLOATS + TEXTS + SEQUENCES + MAPPINGS + OTHERS

_HINTS = (
    (re.compile(r"^([a-dijkmnpqrxy]|num|size|width|prec|year|base|bits|wp|.*(count|int|length))$"), INTEGERS + FLOATS),
    (re.compile(r"str|text|name|version|value|url|header|path|tag|string|code|key|^s$|spec|label"), TEXTS),
    (re.compile(r"seq|list|iter|items|args|values|tokens|rows|ranges|^l$"), SEQUENCES),
    (re.compile(r"dict|map|kwargs|options|params"), MAPPINGS),
)  # fmt: skip


def guesses(names: tuple[str, ...], n: int, rng: random.Random) -> list[tuple[str, ...]]:
    """`n` different tuples of Python literals for arguments of those names; half of each follows the names."""
    found: dict[tuple[str, ...], None] = {}
    for _ in range(n * 4):
        if len(found) == n:
            break
        found[tuple(_guess(name, rng) for name in names)] = None
    return list(found)


def _guess(name: str, rng: random.Random) -> str:
    hinted = next((pool for pattern, pool in _HINTS if pattern.search(name)), ())
    return rng.choice(hinted) if hinted and rng.random() < 0.7 else rng.choice(POOL)
