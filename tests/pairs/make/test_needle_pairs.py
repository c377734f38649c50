"""Pairs from needles: the same haystack twice."""

from __future__ import annotations

import difflib
from collections import Counter
from pathlib import Path

import pytest

from cleartrace.needle.haystack import Filler, token_counter
from cleartrace.needle.tasks import NeedleKind, answers_in
from cleartrace.pairs.make.needle import make_needle_pairs

POLICY = Path(__file__).resolve().parents[3] / "dataset/quickstart/policy"


@pytest.mark.parametrize("kind", NeedleKind)
def test_w2_the_contexts_differ_in_their_needles_alone(kind):
    made = list(make_needle_pairs(6, length=200, kinds=[kind], filler=Filler.GRAMMAR))
    assert len(made) == 12
    for forward, reverse in zip(made[::2], made[1::2], strict=True):
        assert (forward.question, forward.pos, forward.neg) == (reverse.question, reverse.neg, reverse.pos)
        assert forward.group == reverse.group
        pos, neg = str(forward.pos).split(), str(forward.neg).split()
        changed = [tag for tag in difflib.SequenceMatcher(None, pos, neg, autojunk=False).get_opcodes()]
        assert all(answers_in(NeedleKind.SINGLE, " ".join(pos[a:b])) for tag, a, b, *_ in changed if tag != "equal")
        assert (Counter(pos) == Counter(neg)) is (kind is not NeedleKind.SINGLE)


@pytest.mark.parametrize("kind", NeedleKind)
def test_no_context_is_longer_than_it_may_be(kind):
    count = token_counter(POLICY)
    for pair in make_needle_pairs(4, length=400, kinds=[kind], count=count):
        assert 250 < count([str(pair.pos)])[0] <= 400


def test_the_seed_decides():
    def made(seed: int) -> list[str]:
        return [str(p.pos) for p in make_needle_pairs(4, length=150, seed=seed)]

    assert made(1) == made(1) != made(2)


def test_kinds_take_turns_and_are_told_apart_as_sources():
    sources = [p.source for p in make_needle_pairs(4, length=150)][::2]
    assert sources == ["needle/single", "needle/multi_key", "needle/multi_value", "needle/variables"]


def test_wishes_without_sense_are_refused():
    with pytest.raises(ValueError, match="need groups >= 1 and a kind"):
        list(make_needle_pairs(0, length=100))
