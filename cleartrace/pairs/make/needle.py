"""Pairs from needles: one haystack twice, in which the needles have other values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from cleartrace.needle.haystack import Counter, Filler, count_words, make_haystack
from cleartrace.needle.tasks import NeedleKind, draw
from cleartrace.pairs.record import Pair, PairKind, both_directions

SOURCE = "needle"


def make_needle_pairs(
    groups: int,
    *,
    length: int,
    kinds: Sequence[NeedleKind] = tuple(NeedleKind),
    seed: int = 0,
    filler: Filler = Filler.DOCS,
    count: Counter = count_words,
) -> Iterator[Pair]:
    """Two pairs (both directions) per group, the kinds in turn; the first needle lies at a random depth.

    Each context is at most `length` tokens (or words) long. In every kind but `single` the two contexts hold the same
    words, so that only a reader who binds values to keys can tell them apart.

    Raises:
        ValueError: no kind, no group, or a length without room for the needles.
    """
    if groups < 1 or not kinds:
        raise ValueError(f"need groups >= 1 and a kind, got {groups} and {list(kinds)}")
    for number in range(groups):
        kind, group = kinds[number % len(kinds)], f"needle-{seed}-{length}-{number:06d}"
        rng = Random(group)
        one, other = draw(kind, rng)
        depth = rng.random()
        needles = _longer(one.sentences, other.sentences, count)
        stack = make_haystack(needles, depth, length, filler, rng, count=count)
        yield from both_directions(
            id=f"{group}-{kind.value}",
            kind=PairKind.TEXT,
            question=one.question,
            answers=(", ".join(one.answers), ", ".join(other.answers)),
            contexts=(stack.text(one.sentences), stack.text(other.sentences)),
            group=group,
            source=f"{SOURCE}/{kind.value}",
            meta={"length": length, "depth": round(depth, 4)},
        )


def _longer(one: Sequence[str], other: Sequence[str], count: Counter) -> Sequence[str]:
    """The needles that need more room: a tokenizer may cut two numbers of seven digits differently."""
    return one if sum(count(one)) >= sum(count(other)) else other
