"""W13: what a row is is said by its kind, and never by how many images it has."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cleartrace.pairs.files import read_pairs, write_pairs
from cleartrace.pairs.prompt import render
from cleartrace.pairs.record import ImageRef, Order, Pair, PairKind

FACTS = {"question": "Which one?", "answer": "the left one", "group": "g", "source": "test"}
TWO = (ImageRef(path="q1.png"), ImageRef(path="q2.png"))


def test_w13_a_question_with_two_images_keeps_its_text_contexts(tmp_path):
    pair = Pair(id="t", kind=PairKind.TEXT, pos="left", neg="right", images=TWO, **FACTS)
    write_pairs(tmp_path / "pairs.jsonl", [pair])
    (read,) = read_pairs(tmp_path / "pairs.jsonl")
    assert read.kind is PairKind.TEXT
    assert len(render(read, Order.SUPPORTING_FIRST).images) == 2


def test_w13_images_of_the_question_come_before_those_of_the_contexts():
    pos, neg = ImageRef(path="pos.png"), ImageRef(path="neg.png")
    pair = Pair(id="i", kind=PairKind.IMAGE, pos=pos, neg=neg, images=TWO, **FACTS)
    for order, contexts in ((Order.SUPPORTING_FIRST, (pos, neg)), (Order.CONFOUNDING_FIRST, (neg, pos))):
        prompt = render(pair, order)
        assert prompt.images == (*TWO, *contexts)
        parts = [part["type"] for part in prompt.messages[0]["content"]]
        assert parts.count("image") == 4


@pytest.mark.parametrize(
    ("kind", "pos", "neg"),
    [(PairKind.IMAGE, "left", "right"), (PairKind.TEXT, *TWO), (PairKind.IMAGE, TWO[0], "right")],
)
def test_w13_contexts_that_do_not_fit_the_kind_are_refused(kind, pos, neg):
    with pytest.raises(ValidationError, match="cannot have a"):
        Pair(id="x", kind=kind, pos=pos, neg=neg, **FACTS)
