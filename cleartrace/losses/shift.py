"""A shift of advantages towards the call that worked and away from the one that failed (cleaner.md section 7).

With d the difference of the two calls' mean log-probs, both modes push by beta * sigmoid(-beta * d). Spread over a
call's tokens, that is minus the gradient of -log sigmoid(beta * d), so without a cap the published shift is a
length-normalised DPO without a reference policy. The published cap breaks this: it cuts the shorter call first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cleartrace.losses.options import Cap


@dataclass(frozen=True)
class Shift:
    """What is added to the advantage of each token of the good call, and taken from each of the failed one."""

    good: float
    failed: float


def mean_margin(good: np.ndarray, failed: np.ndarray) -> float:
    """d: mean log-prob of the good call's tokens [n] minus that of the failed call's [m]."""
    return float(np.mean(good) - np.mean(failed))


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    return float(np.exp(-np.logaddexp(0.0, -x)))


def legacy_shift(margin: float, n_good: int, n_failed: int, *, beta: float, cap: float) -> Shift:
    """The published shift: each call's share of the push, each capped on its own (section 7.3)."""
    push = beta * sigmoid(-beta * margin)
    return Shift(min(push / n_good, cap), min(push / n_failed, cap))


def corrected_shift(
    margin: float, n_good: int, n_failed: int, *, beta: float, cap: float, cap_is: Cap, advantage: float
) -> Shift:
    """Equal totals on both calls (D30): the push is lowered until no token of either exceeds the cap.

    Args:
        advantage: of the rollout; with `cap_is: ratio` the bound is `cap * |advantage|` (D31).
    """
    bound = cap * abs(advantage) if cap_is is Cap.RATIO else cap
    push = min(beta * sigmoid(-beta * margin), bound * min(n_good, n_failed))
    return Shift(push / n_good, push / n_failed)
