"""What is hidden and asked for: four kinds of needle, each drawn with a twin that has another answer."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

from cleartrace.needle.words import ADJECTIVES, NOUNS

KEYS, VALUES_PER_KEY, CHAIN = 4, 3, 4


class NeedleKind(str, Enum):
    """The retrieval tasks of RULER (arXiv 2404.06654) in words of our own."""

    SINGLE = "single"
    """One key, one number."""
    MULTI_KEY = "multi_key"
    """Four keys with a number each; one key is asked for."""
    MULTI_VALUE = "multi_value"
    """Two keys with three numbers each; all numbers of one key are asked for."""
    VARIABLES = "variables"
    """Two chains of assignments; all names that hold one number are asked for. They stand in any order."""


@dataclass(frozen=True)
class Needle:
    """Sentences to hide (the first at the depth of the case), the question, and the set of answers to it."""

    sentences: tuple[str, ...]
    question: str
    answers: tuple[str, ...]


_NUMBER, _NAME = re.compile(r"(?<![\d.])\d{7}(?!\d)"), re.compile(r"\b[A-Z]{5}\b")
_GROUPED = re.compile(r"(?<!\d)(\d),(\d{3}),(\d{3})(?!\d)")


def answers_in(kind: NeedleKind, text: str) -> set[str]:
    """Everything in a text that has the form of an answer: numbers of seven digits, or names of five capitals.

    Example:
        >>> sorted(answers_in(NeedleKind.SINGLE, "It is 1,234,567, not 7654321."))
        ['1234567', '7654321']
    """
    if kind is NeedleKind.VARIABLES:
        return set(_NAME.findall(text))
    return set(_NUMBER.findall(_GROUPED.sub(r"\1\2\3", text)))


def draw(kind: NeedleKind, rng: Random) -> tuple[Needle, Needle]:
    """Two needles with one question and different answers.

    In all kinds but `single` the twins hold the same words: two values have changed their owners.
    """
    return _DRAW[kind](rng)


def _single(rng: Random) -> tuple[Needle, Needle]:
    key, (one, two) = _keys(rng, 1)[0], _numbers(rng, 2)
    return tuple(Needle((_fact(key, value),), _question(key), (value,)) for value in (one, two))  # type: ignore[return-value]


def _multi_key(rng: Random) -> tuple[Needle, Needle]:
    keys, values = _keys(rng, KEYS), _numbers(rng, KEYS)

    def needle(owned: Sequence[str]) -> Needle:
        return Needle(tuple(map(_fact, keys, owned)), _question(keys[0]), (owned[0],))

    return needle(values), needle([values[1], values[0], *values[2:]])


def _multi_value(rng: Random) -> tuple[Needle, Needle]:
    (key, other), values = _keys(rng, 2), _numbers(rng, 2 * VALUES_PER_KEY)

    def needle(owned: Sequence[str]) -> Needle:
        facts = [_fact(key if i < VALUES_PER_KEY else other, value) for i, value in enumerate(owned)]
        question = f"What are the {VALUES_PER_KEY} special numbers of the {key}?"
        return Needle(tuple(facts), question, tuple(owned[:VALUES_PER_KEY]))

    last = len(values) - 1
    return needle(values), needle([values[last], *values[1:last], values[0]])


def _variables(rng: Random) -> tuple[Needle, Needle]:
    names, values = _names(rng, 2 * CHAIN), _numbers(rng, 2)
    chains = names[:CHAIN], names[CHAIN:]
    asked = values[0]

    def needle(roots: Sequence[str]) -> Needle:
        firsts = [f"The variable {chain[0]} is {root}." for chain, root in zip(chains, roots, strict=True)]
        links = [f"The variable {b} equals {a}." for chain in chains for a, b in zip(chain, chain[1:], strict=False)]
        holders = chains[list(roots).index(asked)]
        question = f"Which {CHAIN} variables have the value {asked}?"
        return Needle((*firsts, *links), question, tuple(holders))

    return needle(values), needle(values[::-1])


_DRAW = {
    NeedleKind.SINGLE: _single,
    NeedleKind.MULTI_KEY: _multi_key,
    NeedleKind.MULTI_VALUE: _multi_value,
    NeedleKind.VARIABLES: _variables,
}


def _fact(key: str, value: str) -> str:
    return f"The special number of the {key} is {value}."


def _question(key: str) -> str:
    return f"What is the special number of the {key}?"


def _keys(rng: Random, n: int) -> list[str]:
    pairs = zip(rng.sample(ADJECTIVES, n), rng.sample(NOUNS, n), strict=True)
    return [f"{adjective} {noun}" for adjective, noun in pairs]


def _numbers(rng: Random, n: int) -> list[str]:
    return [str(number) for number in rng.sample(range(1_000_000, 10_000_000), n)]


def _names(rng: Random, n: int) -> list[str]:
    names: set[str] = set()
    while len(names) < n:
        names.add("".join(rng.choices(string.ascii_uppercase, k=5)))
    drawn = sorted(names)
    rng.shuffle(drawn)
    return drawn
