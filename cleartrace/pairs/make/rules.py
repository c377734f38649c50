"""Rule-style pairs: short generated contexts of which one supports the answer. A test bed, not natural data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from cleartrace.pairs.make.rule_families import FAMILIES, RuleCase, RuleFamily
from cleartrace.pairs.record import Pair, both_directions

SOURCE = "rules"
LEVELS = (1, 2, 3)
PATIENCE = 200
"""Draws in a row that may repeat known questions before a family counts as used up."""


class RulesError(ValueError):
    """The wish cannot be met; the text says what can be had."""


def make_rules(
    groups: int, *, seed: int = 0, families: Sequence[RuleFamily] = tuple(RuleFamily), level: int = 2
) -> list[Pair]:
    """Pairs of `groups` groups, the families in turn; each group is one question in both directions, so two pairs.

    The same arguments give the same pairs, and more groups only append. No two groups share a question with the same
    two contexts, so a split by group leaks nothing.

    Raises:
        RulesError: no family, an unknown level, or more groups than a family has different cases.

    Example:
        >>> forward, reverse = make_rules(1, families=[RuleFamily.LOOKUP], level=1)
        >>> forward.pos == reverse.neg and forward.answer != reverse.answer
        True
    """
    if not families or level not in LEVELS or groups < 1:
        raise RulesError(f"need a family, a level in {LEVELS} and groups >= 1, got {families}, {level}, {groups}")
    streams = {family: _different(family, seed, level) for family in families}
    pairs: list[Pair] = []
    for number in range(groups):
        family = families[number % len(families)]
        pairs.extend(_both(next(streams[family]), family, f"rules-{seed}-{level}-{number:06d}", level))
    return pairs


def _different(family: RuleFamily, seed: int, level: int) -> Iterator[RuleCase]:
    rng = Random(f"{family.value}/{seed}/{level}")
    seen: set[tuple[str, frozenset[object]]] = set()
    while True:
        for _ in range(PATIENCE):
            case = FAMILIES[family](rng, level)
            key = case.question, frozenset(case.contexts)
            if key not in seen:
                break
        else:
            raise RulesError(
                f"family {family.value} has about {len(seen)} different cases at level {level}: ask for fewer groups, "
                "a higher level or more families"
            )
        seen.add(key)
        yield case


def _both(case: RuleCase, family: RuleFamily, group: str, level: int) -> tuple[Pair, Pair]:
    return both_directions(
        id=f"{group}-{family.value}",
        kind=case.kind,
        question=case.question,
        answers=case.answers,
        contexts=case.contexts,
        group=group,
        source=f"{SOURCE}/{family.value}",
        meta={"level": level},
    )
