"""Order and stream: balance, coverage, ranks, and resume without state (W1, W3, W11)."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from cleartrace.pairs.order import OrderPolicy, orders_of, random_order, rows_of
from cleartrace.pairs.record import Order
from cleartrace.pairs.stream import Draw, PairStream
from tests.pairs.samples import text_pair

AB, BA = Order.SUPPORTING_FIRST, Order.CONFOUNDING_FIRST


def indices(stream: PairStream, steps: range) -> list[int]:
    return [draw.index for step in steps for draw in stream.batch(step)]


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize(("n", "batch"), [(12, 4), (11, 4), (7, 10), (1, 2), (8, 8)])
def test_an_epoch_sees_every_pair_once(n, batch, balanced):
    drawn = indices(PairStream(n, batch, seed=3, balanced=balanced), range(5 * n))
    for epoch in range(len(drawn) // n):
        assert sorted(drawn[epoch * n : (epoch + 1) * n]) == list(range(n))
    assert n < 7 or drawn[:n] != drawn[n : 2 * n]


def test_draws_know_their_epoch_and_place():
    draws = PairStream(5, 4).batch(1)
    assert [(draw.epoch, draw.position) for draw in draws] == [(0, 4), (1, 5), (1, 6), (1, 7)]


@pytest.mark.parametrize("balanced", [False, True])
def test_w3_ranks_share_a_batch_without_overlap(balanced):
    whole = PairStream(23, 12, seed=1, balanced=balanced)
    for step in range(6):
        for size in (1, 2, 3, 4):
            parts = [PairStream(23, 12, 1, rank, size, balanced=balanced).batch(step) for rank in range(size)]
            assert tuple(draw for part in parts for draw in part) == whole.batch(step)


def test_w3_consecutive_steps_have_other_pairs():
    stream = PairStream(64, 16)
    assert len(set(indices(stream, range(4)))) == 64


def test_w11_a_resumed_run_sees_the_next_batch():
    """The position is a function of the step, so another process at step 37 needs nothing from the first."""
    code = "from cleartrace.pairs.stream import PairStream; print([d.index for d in PairStream(50, 8, 9).batch(37)])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    stream = PairStream(50, 8, 9)
    for step in range(37):
        stream.batch(step)
    assert done.stdout.strip() == str([draw.index for draw in stream.batch(37)])


def test_w11_the_stream_is_the_same_in_every_version():
    """Raw Philox numbers are; if this fails, runs made before can no longer be resumed exactly."""
    assert indices(PairStream(10, 10, seed=42), range(1)) == [7, 1, 6, 4, 3, 5, 9, 0, 2, 8]
    assert indices(PairStream(10, 10, seed=42, balanced=True), range(1)) == [1, 7, 4, 6, 5, 3, 9, 0, 8, 2]


def test_every_n_steps_skips_steps_and_no_pairs():
    stream, plain = PairStream(40, 4, every_n_steps=3), PairStream(40, 4)
    assert [stream.batch(step) != () for step in range(7)] == [True, False, False, True, False, False, True]
    assert indices(stream, range(7)) == indices(plain, range(3))
    assert (stream.passes(7), plain.passes(7)) == (0.3, 0.7)


def test_seeds_differ():
    assert indices(PairStream(40, 40, seed=1), range(1)) != indices(PairStream(40, 40, seed=2), range(1))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"n": 0}, "no pair"),
        ({"batch_size": 6, "dp_size": 4}, "cannot be shared by 4 data-parallel ranks"),
        ({"batch_size": 0}, "cannot be shared"),
        ({"dp_rank": 2, "dp_size": 2}, "rank 2 does not exist among 2"),
        ({"every_n_steps": 0}, "every_n_steps=0"),
        ({"batch_size": 3, "balanced": True}, "no batch can be balanced"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        PairStream(**{"n": 10, "batch_size": 4, **wrong})
    with pytest.raises(ValueError, match="counted from 0"):
        PairStream(10, 4).batch(-1)


def orders(policy: OrderPolicy, stream: PairStream, steps: int, seed: int = 0) -> list[list[tuple[str, Order]]]:
    pairs = [text_pair(i) for i in range(stream.n)]
    return [
        [(pair.id, order) for pair, order in rows_of(policy, pairs, stream.batch(step), seed)] for step in range(steps)
    ]


def test_w1_random_orders_are_half_and_half_and_redrawn():
    drawn = [[random_order(7, epoch, f"pair-{i}") for i in range(2000)] for epoch in range(2)]
    for epoch in drawn:
        assert abs(epoch.count(AB) - 1000) < 112  # 5 standard deviations of a fair coin
    changed = sum(a != b for a, b in zip(*drawn, strict=True))
    assert abs(changed - 1000) < 112
    assert drawn[0] == [random_order(7, 0, f"pair-{i}") for i in range(2000)]
    assert drawn[0] != [random_order(8, 0, f"pair-{i}") for i in range(2000)]


def test_w1_random_orders_do_not_depend_on_process_or_place():
    first = orders(OrderPolicy.RANDOM, PairStream(20, 10, seed=5), 2, seed=5)
    ranks = [orders(OrderPolicy.RANDOM, PairStream(20, 10, 5, rank, 2), 2, seed=5) for rank in range(2)]
    assert first == [a + b for a, b in zip(*ranks, strict=True)]
    assert [random_order(0, epoch, "a").value for epoch in (1, 0)] == ["BA", "AB"]


@pytest.mark.parametrize("n", [1, 6, 7, 20, 33])
@pytest.mark.parametrize("size", [2, 4, 10])
def test_w1_balanced_is_exactly_half_of_each_batch_and_flips_each_epoch(n, size):
    stream = PairStream(n, size, seed=2, balanced=True)
    batches = orders(OrderPolicy.BALANCED, stream, 6 * n)
    assert all(Counter(order for _, order in batch) == {AB: size // 2, BA: size // 2} for batch in batches)
    seen: dict[str, list[Order]] = {}
    for batch in batches:
        for pair_id, order in batch:
            seen.setdefault(pair_id, []).append(order)
    for history in seen.values():
        assert all(a is not b for a, b in zip(history, history[1:], strict=False))


def test_both_asks_each_pair_twice():
    (batch,) = orders(OrderPolicy.BOTH, PairStream(4, 4), 1)
    assert len(batch) == 8 and batch[0][0] == batch[1][0]
    assert [order for _, order in batch] == [AB, BA] * 4


def test_fixed_is_what_the_data_says():
    draw = Draw(0, 0, 1)
    assert orders_of(OrderPolicy.FIXED, text_pair(order=BA), draw, 0) == (BA,)
    with pytest.raises(ValueError, match="fox-0 stores no order"):
        orders_of(OrderPolicy.FIXED, text_pair(), draw, 0)
