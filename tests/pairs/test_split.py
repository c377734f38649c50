"""Splits never cut a group."""

from __future__ import annotations

import random

import pytest

from cleartrace.pairs.split import SplitError, require_disjoint, split_by_group
from tests.pairs.samples import text_pair


def pairs_of(sizes: list[int], source: str = "s", start: int = 0) -> list:
    return [
        text_pair(start + 100 * g + i, group=f"{source}-{g}", source=source, id=f"{source}-{g}-{i}")
        for g, size in enumerate(sizes)
        for i in range(size)
    ]


def ids(pairs) -> set[str]:
    return {pair.id for pair in pairs}


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5, 0.9])
def test_no_group_is_in_both_parts_and_no_pair_is_lost(share):
    pairs = pairs_of([random.Random(7).randint(1, 9) for _ in range(80)])
    split = split_by_group(pairs, share, seed=1)
    assert not {pair.group for pair in split.train} & {pair.group for pair in split.val}
    assert ids(split.train) | ids(split.val) == ids(pairs) and len(split.train) + len(split.val) == len(pairs)
    assert len(split.val) / len(pairs) == pytest.approx(share, abs=5 / len(pairs))
    require_disjoint(split.train, split.val)


def test_the_split_depends_on_the_seed_only():
    pairs = pairs_of([2] * 40)
    mixed = random.Random(0).sample(pairs, len(pairs))
    first = split_by_group(pairs, seed=3)
    assert ids(split_by_group(mixed, seed=3).val) == ids(first.val) != ids(split_by_group(pairs, seed=4).val)
    assert [pair for pair in pairs if pair in first.train] == list(first.train)


def test_added_groups_move_few_others():
    before, after = (split_by_group(pairs_of([2] * n), 0.2, seed=3) for n in (100, 110))
    assert len(ids(before.val) - ids(after.val)) <= 6


def test_every_source_is_held_out():
    pairs = pairs_of([1] * 50, "big") + pairs_of([1] * 10, "small", 10_000) + pairs_of([3], "single", 20_000)
    split = split_by_group(pairs, 0.1)
    assert [sum(pair.source == s for pair in split.val) for s in ("big", "small", "single")] == [5, 1, 0]


def test_a_group_of_two_sources_stays_whole():
    pairs = [text_pair(i, group=f"g{i // 2}", source=("a", "b")[i % 2]) for i in range(40)]
    split = split_by_group(pairs, 0.3)
    assert not {pair.group for pair in split.train} & {pair.group for pair in split.val}
    assert len(split.val) == 12


def test_what_cannot_be_divided_is_refused():
    for share in (0.0, 1.0):
        with pytest.raises(SplitError, match="must lie between 0 and 1"):
            split_by_group(pairs_of([1, 1]), share)
    with pytest.raises(SplitError, match="3 pairs in 1 groups cannot be divided"):
        split_by_group(pairs_of([3]))


def test_shared_groups_are_refused():
    train, val = pairs_of([1] * 6), pairs_of([2] * 5)
    with pytest.raises(SplitError, match="share the groups s-0, s-1, s-2 and 2 more"):
        require_disjoint(train, val)
