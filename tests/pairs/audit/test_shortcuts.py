"""Shortcut classifiers catch what is planted, and read chance where there is nothing to catch."""

import json
import random

import numpy as np
import pytest

from cleartrace.pairs.audit.card import both_direction_share, data_card, write_card
from cleartrace.pairs.audit.features import Shortcut
from cleartrace.pairs.audit.logistic import fit, folds
from cleartrace.pairs.audit.shortcuts import score, score_all
from cleartrace.pairs.files import write_pairs
from cleartrace.pairs.record import Message, Order, Pair, PairKind, both_directions

WORDS = [f"word{i}" for i in range(300)]


def context(rng: random.Random, fact: str, n: int = 40) -> str:
    words = rng.choices(WORDS, k=n)
    words.insert(rng.randrange(n), fact)
    return " ".join(words)


def one_way(i: int, rng: random.Random, **change) -> Pair:
    fields = {"pos": context(rng, "north"), "neg": context(rng, "north"), "answer": f"it is {rng.choice(WORDS)}"}
    fields |= change
    return Pair(id=f"p{i}", kind=PairKind.TEXT, question="Which?", group=f"g{i // 4}", source="test", **fields)


def fair(n: int, seed: int = 0) -> list[Pair]:
    """Both directions; the answer is a word of neither context, so nothing is to be had."""
    rng = random.Random(seed)
    pairs: list[Pair] = []
    for i in range(n):
        pairs += both_directions(
            id=f"p{i}", kind=PairKind.TEXT, question="Which?", answers=(f"one {rng.random()}", f"two {rng.random()}"),
            contexts=(context(rng, "left"), context(rng, "right", 80)), group=f"g{i // 4}", source="test",
        )  # fmt: skip
    return pairs


@pytest.mark.parametrize("shortcut", [Shortcut.LENGTH, Shortcut.CONTEXT_ONLY])
def test_w2_what_sees_contexts_only_is_right_exactly_half_the_time_on_both_directions(shortcut):
    """The contexts are as different as can be (length and a telltale word), and it does not help."""
    result = score(fair(60), shortcut)
    assert result.accuracy == 0.5
    assert result.at_chance and result.questions == 60


def test_w2_the_same_contexts_in_one_direction_are_a_shortcut():
    """The control of the test above: without the second direction both classifiers win."""
    pairs = fair(60)[::2]
    for shortcut in (Shortcut.LENGTH, Shortcut.CONTEXT_ONLY):
        result = score(pairs, shortcut)
        assert result.accuracy > 0.95 and not result.at_chance


def test_a_planted_length_cue_is_caught():
    rng = random.Random(1)
    pairs = [one_way(i, rng, pos=context(rng, "north", 50 + i % 7)) for i in range(120)]
    result = score(pairs, Shortcut.LENGTH)
    assert result.accuracy > 0.95 and not result.at_chance


def test_words_of_the_answer_in_one_context_are_caught():
    rng = random.Random(2)
    pairs = [one_way(i, rng, pos=context(rng, f"rare{i}"), answer=f"it is rare{i}") for i in range(120)]
    for shortcut in (Shortcut.BM25, Shortcut.BAG_OF_WORDS):
        result = score(pairs, shortcut)
        assert result.accuracy > 0.95 and not result.at_chance, shortcut


def test_an_order_that_goes_with_the_answer_is_caught():
    rng = random.Random(3)
    orders = {"yes": Order.SUPPORTING_FIRST, "no": Order.CONFOUNDING_FIRST}
    answers = [rng.choice(["yes", "no"]) for _ in range(120)]
    pairs = [one_way(i, rng, answer=answer, order=orders[answer]) for i, answer in enumerate(answers)]
    result = score(pairs, Shortcut.ANSWER_ONLY)
    assert result.accuracy > 0.95 and not result.at_chance


def test_all_are_at_chance_where_there_is_nothing():
    for result in score_all(fair(200, seed=5)):
        assert result.at_chance, result
        assert result.low <= result.accuracy <= result.high


def test_groups_are_held_out_whole():
    """A telltale word per group is of no use on another group."""
    rng = random.Random(4)
    pairs = [one_way(i, rng, pos=context(rng, f"a{i // 4}"), neg=context(rng, f"b{i // 4}")) for i in range(120)]
    assert score(pairs, Shortcut.CONTEXT_ONLY).at_chance
    with pytest.raises(ValueError, match="holds out groups"):
        score(pairs[:4], Shortcut.LENGTH)


def test_folds_never_cut_a_group():
    groups = [f"g{i % 7}" for i in range(100)]
    fold = folds(groups, 5, seed=0)
    assert len(set(fold)) == 5
    assert all(len({f for f, g in zip(fold, groups, strict=True) if g == name}) == 1 for name in set(groups))


def test_the_regression_is_at_the_minimum_of_its_loss():
    """Against the loss itself: no small step in any direction lowers it."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 6)) + 0.3
    rows /= np.sqrt((rows**2).mean(axis=0))
    weights = fit(rows)

    def loss(w: np.ndarray) -> float:
        return float(np.logaddexp(0, -rows @ w).sum() + 0.5 * w @ w)

    assert all(loss(weights) <= loss(weights + 1e-3 * d) for d in rng.normal(size=(50, 6)))


def test_the_card_says_what_the_set_is(tmp_path):
    pairs = fair(20)
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, pairs)
    scores = [score(pairs, Shortcut.LENGTH)]
    write_card(tmp_path / "card.json", data_card([path], pairs, scores, {"pairs": {"7_audited": 20}}))
    card = json.loads((tmp_path / "card.json").read_text())
    assert (card["pairs"], card["groups"], card["both_directions"]) == (40, 5, 1.0)
    assert card["shortcuts"][0]["accuracy"] == 0.5
    assert card["facts"]["length_ratio_outside"] == 40
    assert len(card["files"]["pairs.jsonl"]) == 64
    assert both_direction_share(pairs[::2]) == 0.0


def test_turns_count_for_trajectories():
    turns = [Message(role="assistant", content="x"), Message(role="user", content="y")]
    pairs = [
        Pair(id=f"p{i}", kind=PairKind.TRAJECTORY, question="?", answer="a", pos=tuple(turns * 5), neg=tuple(turns),
             group=f"g{i}", source="test")
        for i in range(8)
    ]  # fmt: skip
    card = data_card([], pairs, [])
    assert card["facts"]["turn_difference_above_3"] == 8
