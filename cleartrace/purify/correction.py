"""What the loss makes of spliced tokens (cleaner.md section 4.8): weights and a mask, per rollout.

w_t = exp(log pi_old(x_t | where it stands) - log pi_b(x_t | where it was sampled))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cleartrace.purify.config import Correction, SaarConfig

NEEDS_LOGPROBS = frozenset({Correction.TOKEN_IS, Correction.ICEPOP, Correction.REJECT})
_LARGEST_LOG = 50.0


@dataclass(frozen=True)
class Corrected:
    """One rollout's response tokens, [n] each. `weights` are 1 on tokens that are not spliced, `mask` is the loss's."""

    weights: np.ndarray
    mask: np.ndarray
    spliced: int = 0
    """Spliced tokens that were trained before."""
    bounded: int = 0
    """How many of them were capped, weighted by 0 or masked."""


def correct(
    old: np.ndarray, sampled: np.ndarray | None, spliced: Sequence[int], mask: np.ndarray, config: SaarConfig
) -> Corrected:
    """Apply `config.correction` to one rollout.

    Args:
        old: log pi_old of each response token in the trajectory as it is trained on, [n].
        sampled: log pi_b the sampler reported, [n]; may be None for `none` and `mask`.
        spliced: 1 for tokens that stand in another context than they were sampled in, [n].
        mask: loss mask, [n].

    Raises:
        ValueError: the lengths differ, or log-probs are missing that the correction needs.
    """
    moved = np.asarray(spliced, dtype=bool) & np.asarray(mask, dtype=bool)
    if len(moved) != len(old):
        raise ValueError(f"{len(spliced)} spliced flags for {len(old)} log-probs")
    mask, weights, count = np.array(mask), np.ones(len(moved)), int(moved.sum())
    if config.correction is Correction.NONE or not count:
        return Corrected(weights, mask, count)
    if config.correction is Correction.MASK:
        mask[moved] = 0
        return Corrected(weights, mask, count, count)
    if sampled is None:
        raise ValueError(
            f"correction {config.correction.value!r} needs the sampler's log-probs: calculate_log_probs=true"
        )
    log_w = np.asarray(old, dtype=np.float64) - np.asarray(sampled, dtype=np.float64)
    low, high = config.correction_bounds
    if config.correction is Correction.REJECT:
        out = _spans_outside(log_w, moved, low, high)
        mask[out] = 0
        return Corrected(weights, mask, count, int(out.sum()))
    ratios = np.exp(np.clip(log_w[moved], -_LARGEST_LOG, _LARGEST_LOG))
    if config.correction is Correction.TOKEN_IS:
        outside = ratios > config.correction_cap
        weights[moved] = np.minimum(ratios, config.correction_cap)
    else:
        outside = (ratios < low) | (ratios > high)
        weights[moved] = np.where(outside, 0.0, ratios)
    return Corrected(weights, mask, count, int(outside.sum()))


def _spans_outside(log_w: np.ndarray, moved: np.ndarray, low: float, high: float) -> np.ndarray:
    """True on each run of spliced tokens whose geometric mean weight lies outside the bounds, [n]."""
    out = np.zeros(len(moved), dtype=bool)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], moved.astype(np.int8), [0]))))
    for start, end in edges.reshape(-1, 2):
        mean = float(np.exp(np.clip(log_w[start:end].mean(), -_LARGEST_LOG, _LARGEST_LOG)))
        out[start:end] = not low <= mean <= high
    return out


def correction_metrics(rows: Sequence[tuple[Corrected, Sequence[int]]]) -> dict[str, float]:
    """Mean weight of spliced trained tokens and share that met a bound, over (corrected, spliced flags) of a step."""
    total = sum(row.spliced for row, _ in rows)
    if not total:
        return {}
    weights = sum(float((row.weights * row.mask)[np.asarray(flags, dtype=bool)].sum()) for row, flags in rows)
    return {
        "rollback/is_weight_mean": weights / total,
        "rollback/is_clipfrac": sum(row.bounded for row, _ in rows) / total,
    }
