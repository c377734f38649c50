"""The decision on an edit from its differences: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.learn.accept.betting import evidence, pairs_to_decide
from cleartrace.learn.accept.protocol import Standing
from cleartrace.learn.credit.intervals import difference_interval


@dataclass(frozen=True)
class Criterion:
    """How sure one must be.

    Args:
        alpha: an edit is validated where the interval of level 1 - alpha lies above 0: one that does not help on these
            tasks is with a chance of alpha / 2 at most.
        pairs: most pairs for an edit that makes the context larger.
        pairs_to_shrink: the same for one that makes it smaller. It may stay on a tie, and only many pairs tell a tie
            from harm that few tasks show.
        saving: tokens that an edit must save to count as one that makes the context smaller.
        tasks_to_shrink: different tasks that a tie must be seen on. A tie on few tasks says nothing about the others,
            and an entry that only those need would be lost: with fewer tasks, such an edit must show a gain too.
        margin: loss that must be ruled out before a tie keeps the smaller context.
        patience: pairs after which an edit without a gain so far is given up.
        sequential: look after each round. Off: run all pairs, then test once; that interval's level is 95 %.
    """

    alpha: float = 0.05
    pairs: int = 32
    pairs_to_shrink: int = 48
    saving: int = 5
    tasks_to_shrink: int = 24
    margin: float = 0.1
    patience: int = 8
    sequential: bool = True

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 1.0:
            raise ValueError(f"alpha lies between 0 and 1, got {self.alpha}")
        if not self.sequential and self.alpha != 0.05:
            raise ValueError(
                "alpha has no effect without sequential: the interval of a fixed number of pairs is of 95 %"
            )
        if self.pairs < self.fewest:
            raise ValueError(f"{self.pairs} pairs can prove nothing at alpha {self.alpha}; at least {self.fewest} can")

    @property
    def fewest(self) -> int:
        """Pairs below which no outcome would prove a gain."""
        return pairs_to_decide(self.alpha / 2.0)


@dataclass(frozen=True)
class Ruling:
    keep: bool
    standing: Standing
    reason: str


def rule(differences: Sequence[float], left: int, shrinks: bool, test: Criterion) -> Ruling | None:
    """What the differences say; None where more pairs should be run.

    Args:
        differences: score with the edit minus score without it, one per pair.
        left: pairs that may still be run.
        shrinks: the edit makes the context smaller, so that a tie keeps it (design rule 16).
    """
    if not test.sequential:
        return None if left else _at_the_end(differences, shrinks, test.margin)
    bar = 2.0 / test.alpha
    if evidence(differences) >= bar:
        return Ruling(True, Standing.VALIDATED, f"better over {len(differences)} pairs")
    if evidence([-one for one in differences]) >= bar:
        return Ruling(False, Standing.HARMFUL, f"worse over {len(differences)} pairs")
    total = sum(differences)
    if shrinks:
        if left:
            return None
        return _tie(differences, test.margin)
    if left == 0 or (len(differences) >= test.patience and total <= 0) or _hopeless(differences, left, bar):
        return Ruling(False, Standing.NO_EFFECT_SHOWN, f"no gain shown in {len(differences)} pairs")
    return None


def _hopeless(differences: Sequence[float], left: int, bar: float) -> bool:
    """Not even wins in all that is left would prove a gain."""
    return evidence([*differences, *([1.0] * left)]) < bar


def _at_the_end(differences: Sequence[float], shrinks: bool, margin: float) -> Ruling:
    if not differences:
        return Ruling(False, Standing.NO_EFFECT_SHOWN, "no pair could be scored")
    sign = difference_interval(differences).sign
    if sign > 0:
        return Ruling(True, Standing.VALIDATED, f"better over {len(differences)} pairs")
    if sign < 0:
        return Ruling(False, Standing.HARMFUL, f"worse over {len(differences)} pairs")
    return (
        _tie(differences, margin)
        if shrinks
        else Ruling(False, Standing.NO_EFFECT_SHOWN, f"{len(differences)} pairs: a tie")
    )


def _tie(differences: Sequence[float], margin: float) -> Ruling:
    """Of an edit that makes the context smaller: it stays where no loss was seen, and none above the margin may be."""
    if not differences:
        return Ruling(False, Standing.NO_EFFECT_SHOWN, "no pair could be scored")
    if sum(differences) < 0 or difference_interval(differences).low < -margin:
        return Ruling(False, Standing.NO_EFFECT_SHOWN, f"{len(differences)} pairs do not rule out a loss of {margin:g}")
    return Ruling(True, Standing.NO_EFFECT_SHOWN, f"a tie over {len(differences)} pairs keeps the smaller context")
