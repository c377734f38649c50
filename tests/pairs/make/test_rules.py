"""Rule-style pairs: what each family promises, and that only a reader of question and context can win."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from cleartrace.pairs.make.rule_families import RuleFamily
from cleartrace.pairs.make.rules import LEVELS, RulesError, make_rules
from cleartrace.pairs.record import Context, Pair

GROUPS = 20
EVERY = [(family, level) for family in RuleFamily for level in LEVELS]


def text_of(context: Context) -> str:
    return context if isinstance(context, str) else "\n".join(m.content for m in context)  # type: ignore[union-attr]


def words(context: Context) -> list[str]:
    return re.findall(r"\w+", text_of(context).lower())


def by_group(pairs: list[Pair]) -> list[list[Pair]]:
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.group].append(pair)
    return list(groups.values())


def solve(family: RuleFamily, question: str, context: Context) -> str:
    """The answer that a context gives, read by another way than it was written."""
    text = text_of(context)
    asked = question.rstrip("?").split()[-1]
    if family is RuleFamily.FACT:
        return re.findall(rf"The {asked} is in the (\w+)\.", text)[0]
    if family is RuleFamily.LOOKUP:
        return re.findall(rf"(\w+) has the {asked}\.", text)[0]
    if family is RuleFamily.RULE:
        return re.findall(rf"light is {asked}, (\w+)\.", text)[0]
    if family is RuleFamily.TRACE:
        return re.findall(rf"cat {question.split()[-2]}.conf\n```\nport (\d+)", text)[0]
    if family is RuleFamily.EVENTS:
        return re.findall(r"(\w+)\.", text)[-1]
    if family is RuleFamily.RANKING:
        older, younger = (set(re.findall(pattern, text)) for pattern in (r"(\w+) is older", r"than (\w+)\."))
        (first,) = older - younger
        return first
    names: dict[str, int] = {}
    for name, term in re.findall(r"(\w) = ([^.]+)\.", text):
        names[name] = eval(term, {}, dict(names))
    return str(names[asked])


@pytest.mark.parametrize(("family", "level"), EVERY)
def test_each_context_gives_its_own_answer(family, level):
    for pair in make_rules(GROUPS, families=[family], level=level):
        assert solve(family, pair.question, pair.pos) == pair.answer
        assert solve(family, pair.question, pair.neg) != pair.answer


@pytest.mark.parametrize(("family", "level"), EVERY)
def test_w2_both_directions_share_question_and_contexts(family, level):
    for forward, reverse in by_group(make_rules(GROUPS, families=[family], level=level)):
        assert (forward.question, forward.pos, forward.neg) == (reverse.question, reverse.neg, reverse.pos)
        assert solve(family, forward.question, forward.neg) == reverse.answer


@pytest.mark.parametrize("rule", [lambda c: len(text_of(c)), lambda c: sum(map(ord, text_of(c))), text_of])
def test_w2_a_rule_on_contexts_alone_scores_one_half(rule):
    pairs = make_rules(70)
    wins = sum((rule(p.pos) > rule(p.neg)) + 0.5 * (rule(p.pos) == rule(p.neg)) for p in pairs)
    assert wins == len(pairs) / 2


@pytest.mark.parametrize(
    ("family", "level"), [e for e in EVERY if e[0] not in (RuleFamily.FACT, RuleFamily.DERIVATION)]
)
def test_the_contexts_hold_the_same_words(family, level):
    for pair in make_rules(GROUPS, families=[family], level=level):
        assert Counter(words(pair.pos)) == Counter(words(pair.neg))


@pytest.mark.parametrize("level", LEVELS)
def test_a_derivation_never_shows_its_result(level):
    for pair in make_rules(GROUPS, families=[RuleFamily.DERIVATION], level=level):
        assert pair.answer not in words(pair.pos) + words(pair.neg)


def test_the_seed_decides_and_more_groups_append():
    assert make_rules(30, seed=3) == make_rules(30, seed=3)
    assert make_rules(30, seed=3)[:20] == make_rules(10, seed=3)
    assert {p.question for p in make_rules(30, seed=3)} != {p.question for p in make_rules(30, seed=4)}


def test_no_two_groups_hold_the_same_case():
    pairs = make_rules(300, families=[RuleFamily.RANKING], level=1)
    assert len({frozenset((p.pos, p.neg)) for p in pairs}) == 300
    assert len({p.id for p in pairs}) == 600
    assert len({p.group for p in pairs}) == 300


def test_a_used_up_family_says_what_can_be_had():
    with pytest.raises(RulesError, match=r"derivation has about \d+ different cases at level 1: ask for fewer groups"):
        make_rules(1000, families=[RuleFamily.DERIVATION], level=1)


@pytest.mark.parametrize("wish", [{"groups": 0}, {"groups": 5, "level": 4}, {"groups": 5, "families": ()}])
def test_wishes_without_sense_are_refused(wish):
    with pytest.raises(RulesError, match="need a family"):
        make_rules(**wish)
