"""Dataset-level shortcut classifiers: what reads nothing must score at chance (spec 6.5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cleartrace.evaluate.stats import cluster_interval
from cleartrace.pairs.audit.facts import context_text, tokens
from cleartrace.pairs.audit.features import Bm25, Shortcut, hashed_words, length_features, shared_words
from cleartrace.pairs.audit.logistic import fit, folds
from cleartrace.pairs.order import random_order
from cleartrace.pairs.record import Order, Pair

CHANCE, TOLERANCE, FOLDS = 0.5, 0.03, 5


@dataclass(frozen=True)
class Score:
    """Accuracy of one shortcut on held-out groups.

    Args:
        low, high: 95 % interval of the accuracy, by resampling groups, since rows of a group depend on each other.
        chance_low, chance_high: what pure guessing gives on so many independent questions, 95 %.
        at_chance: within 50 +- 3 %, or within what guessing gives where the questions are too few to tell that finely.
    """

    shortcut: Shortcut
    accuracy: float
    low: float
    high: float
    n: int
    questions: int
    chance_low: float
    chance_high: float
    at_chance: bool

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "shortcut": self.shortcut.value}


def order_of(pair: Pair) -> Order:
    """The stored order of published data, else the order that training with seed 0 shows first."""
    return pair.order or random_order(0, 0, pair.id)


def differences(pairs: Sequence[Pair], shortcut: Shortcut) -> np.ndarray:
    """[n, f]: features of the right option minus those of the wrong one."""
    if shortcut is Shortcut.LENGTH:
        return np.stack([length_features(p.pos) - length_features(p.neg) for p in pairs])
    if shortcut is Shortcut.ANSWER_ONLY:
        # The option in the first place has the answer's words, the other one none: place and answer, no context.
        signs = [1.0 if order_of(p) is Order.SUPPORTING_FIRST else -1.0 for p in pairs]
        rows = [np.append(hashed_words(tokens(p.answer)), 1.0) for p in pairs]
        return np.stack([sign * row for sign, row in zip(signs, rows, strict=True)])
    sides = [[tokens(context_text(context)) for context in (p.pos, p.neg)] for p in pairs]
    if shortcut is Shortcut.CONTEXT_ONLY:
        return np.stack([hashed_words(pos) - hashed_words(neg) for pos, neg in sides])
    return _against_answer(pairs, sides, shortcut)


def _against_answer(pairs: Sequence[Pair], sides: list[list[list[str]]], shortcut: Shortcut) -> np.ndarray:
    bm25 = Bm25([words for both in sides for words in both])
    rows = []
    for pair, both in zip(pairs, sides, strict=True):
        answer = tokens(pair.answer)
        if shortcut is Shortcut.BM25:
            pos, neg = (np.asarray([bm25.score(answer, Counter(words), len(words))]) for words in both)
        else:
            pos, neg = (shared_words(answer, Counter(words), bm25.idf) for words in both)
        rows.append(pos - neg)
    return np.stack(rows)


def held_out(rows: np.ndarray, groups: list[str], seed: int) -> np.ndarray:
    """[n]: 1 right, 0 wrong, 0.5 undecided, each row judged by weights fitted without its group."""
    fold = folds(groups, FOLDS, seed)
    right = np.full(len(rows), 0.5)
    for k in range(int(fold.max()) + 1):
        test = fold == k
        if test.all():
            continue
        margin = rows[test] @ fit(rows[~test])
        right[test] = np.where(np.abs(margin) < 1e-9, 0.5, (margin > 0).astype(float))
    return right


def questions_in(pairs: Sequence[Pair]) -> int:
    """Sets of two contexts: the two directions of one are a single draw of a coin for who sees contexts only."""
    return len({frozenset((context_text(p.pos), context_text(p.neg))) for p in pairs})


def score(pairs: Sequence[Pair], shortcut: Shortcut, seed: int = 0) -> Score:
    """Cross-validate one shortcut over groups.

    Raises:
        ValueError: fewer than two groups, so nothing can be held out.
    """
    groups = [pair.group for pair in pairs]
    if len(set(groups)) < 2:
        raise ValueError(f"an audit holds out groups, and there is only {len(set(groups))}")
    right = held_out(differences(pairs, shortcut), groups, seed)
    by_group: dict[str, list[float]] = {}
    for group, value in zip(groups, right, strict=True):
        by_group.setdefault(group, []).append(float(value))
    accuracy, questions = float(right.mean()), questions_in(pairs)
    low, high = cluster_interval([float(np.mean(values)) for values in by_group.values()])
    spread = 1.96 * 0.5 / questions**0.5
    at_chance = abs(accuracy - CHANCE) <= max(TOLERANCE, spread)
    return Score(
        shortcut,
        accuracy,
        low,
        high,
        len(pairs),
        questions,
        max(0.0, CHANCE - spread),
        min(1.0, CHANCE + spread),
        at_chance,
    )


def score_all(pairs: Sequence[Pair], seed: int = 0) -> list[Score]:
    """Every shortcut."""
    return [score(pairs, shortcut, seed) for shortcut in Shortcut]
