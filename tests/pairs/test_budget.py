"""W14: what is too long is dropped and counted, never cut."""

from __future__ import annotations

import pytest

from cleartrace.pairs.budget import Overlong, OverlongError, within
from cleartrace.pairs.encode import PairEncoder
from cleartrace.pairs.record import Order, PairKind, both_directions
from cleartrace.pairs.twins import twin_id, twins
from tests.pairs.samples import byte_level, text_pair


def both(number: int, answers=("red", "grey")):
    return both_directions(
        id=f"fox-{number}",
        kind=PairKind.TEXT,
        question="What colour?",
        answers=answers,
        contexts=("It is red.", "It is grey."),
        group=f"g{number}",
        source="test",
    )


def tokens_of(encoder):
    return lambda pair, order: len(encoder.encode(pair, order).input_ids)


def test_w14_overlong_pairs_are_dropped_and_counted():
    length = tokens_of(PairEncoder(byte_level()))
    pairs = [text_pair(i, pos="x" * 100 * i + "a", neg="x" * 100 * i + "b") for i in range(5)]
    tokens = [length(pair, Order.SUPPORTING_FIRST) for pair in pairs]
    found = within(pairs, tokens[2], length)
    assert found.kept == tuple(pairs[:3]) and found.longest == tokens[2]
    assert found.dropped == (("fox-3", tokens[3]), ("fox-4", tokens[4])) and found.n_dropped == 2


def test_w14_the_longer_order_decides():
    assert within([text_pair()], 10, lambda pair, order: 10 if order.value == "AB" else 9).longest == 10
    with pytest.raises(OverlongError):
        within([text_pair()], 9, lambda pair, order: 10 if order.value == "BA" else 9)


def test_w14_overlong_can_be_an_error():
    pairs = [text_pair(i) for i in range(3)]
    with pytest.raises(OverlongError, match="pair fox-0 has 50 tokens, over max_prompt_length=20, as have 2 others"):
        within(pairs, 20, lambda pair, order: 50, Overlong.ERROR)
    assert within(pairs, 50, lambda pair, order: 50, Overlong.ERROR).kept == tuple(pairs)


def test_no_pair_that_fits_is_an_error():
    with pytest.raises(OverlongError, match="no pair of 1 fits into 4 tokens; the shortest has 5"):
        within([text_pair()], 4, lambda pair, order: 5)
    with pytest.raises(OverlongError, match="no pair of 0"):
        within([], 4, lambda pair, order: 5)


def test_w2_a_pair_goes_with_its_twin():
    """The longer answer alone would be dropped, and the direction left would teach a shortcut."""
    pairs = [*both(0), *both(1, ("red", "grey as a winter sky"))]
    found = within(pairs, 10, lambda pair, order: len(pair.answer) // 2)
    assert [pair.id for pair in found.kept] == ["fox-0+", "fox-0-", "fox-1+", "fox-1-"]
    found = within(pairs, 9, lambda pair, order: len(pair.answer) // 2)
    assert [pair.id for pair in found.kept] == ["fox-0+", "fox-0-"]
    assert found.dropped == (("fox-1-", 10),) and found.orphaned == ("fox-1+",) and found.n_dropped == 2


def test_twins_are_found_by_what_they_are():
    forward, reverse = both(0)
    assert twin_id(forward) == reverse.id and twin_id(text_pair(id="x+")) is None
    assert twins([forward, reverse]) == {forward.id: reverse, reverse.id: forward}
    changed = reverse.model_copy(update={"pos": "It is blue."})
    assert twins([forward, changed]) == {} and twins([forward]) == {}
