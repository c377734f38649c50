"""The pairs of one step: the advantage of each compared token, and the step's metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cleartrace.losses.dpo import dpo_coefficients
from cleartrace.losses.options import Mode, NegativesConfig
from cleartrace.losses.shift import corrected_shift, legacy_shift, mean_margin


@dataclass(frozen=True)
class PairScores:
    """Log-probs of the compared tokens of the good call [n] and of the failed call [m], at the start of the step.

    The references are used by `dpo` only, `advantage`, that of the rollout, by `corrected`.
    """

    good: np.ndarray
    failed: np.ndarray
    good_reference: np.ndarray | None = None
    failed_reference: np.ndarray | None = None
    advantage: float = 0.0


@dataclass(frozen=True)
class PairPush:
    """What is added to the advantage of each compared token; `failed` is not positive."""

    good: float
    failed: float
    margin: float
    policy_margin: float
    """`margin` without a reference policy."""
    loss: float


def push_pairs(pairs: Sequence[PairScores], config: NegativesConfig, *, loss_tokens: int) -> list[PairPush]:
    """Apply `config.mode` to the pairs of a step.

    Args:
        loss_tokens: trained tokens of the step's rollouts. A token-mean loss divides by them, so `dpo` multiplies: its
            pairs then add `weight` times their mean loss, whatever the number of pairs or tokens.

    Raises:
        ValueError: the mode is `off`.
    """
    if config.mode is Mode.OFF:
        raise ValueError("negatives.mode is off: there is nothing to push")
    if config.mode.shifts:
        return [_shift(pair, config) for pair in pairs]
    scale = config.weight * loss_tokens / max(len(pairs), 1)
    return [_dpo(pair, config, scale) for pair in pairs]


def _shift(pair: PairScores, config: NegativesConfig) -> PairPush:
    margin, sizes = mean_margin(pair.good, pair.failed), (len(pair.good), len(pair.failed))
    if config.mode is Mode.LEGACY:
        shift = legacy_shift(margin, *sizes, beta=config.beta, cap=config.cap)
    else:
        shift = corrected_shift(
            margin, *sizes, beta=config.beta, cap=config.cap, cap_is=config.cap_is, advantage=pair.advantage
        )
    loss = float(np.logaddexp(0.0, -config.beta * margin))
    return PairPush(shift.good, -shift.failed, margin, margin, loss)


def _dpo(pair: PairScores, config: NegativesConfig, scale: float) -> PairPush:
    if pair.good_reference is None or pair.failed_reference is None:
        raise ValueError("dpo needs the log-probs of the reference policy")
    found = dpo_coefficients(
        pair.good,
        pair.failed,
        pair.good_reference,
        pair.failed_reference,
        beta=config.beta,
        length_normalised=config.length_normalised,
    )
    return PairPush(scale * found.good, scale * found.failed, found.margin, found.policy_margin, found.loss)


def preference_metrics(pushes: Sequence[PairPush], *, rollouts: int, left_out: int) -> dict[str, float]:
    """Counts under their published names, and means over the pairs; means are left out where there is no pair.

    `preference/accuracy` is the share of pairs whose good call the policy prefers without a reference.

    Args:
        rollouts: rollouts of the step, which are the positive samples.
        left_out: pairs of the step that could not be trained on.
    """
    counts = {
        "grpo/num_positive_samples": float(rollouts),
        "grpo/num_negative_samples": float(len(pushes)),
        "grpo/total_samples": float(rollouts + len(pushes)),
        "grpo/negative_ratio": len(pushes) / max(rollouts + len(pushes), 1),
        "preference/left_out": float(left_out),
    }
    if not pushes:
        return counts
    return counts | {
        "preference/margin": float(np.mean([p.margin for p in pushes])),
        "preference/policy_margin": float(np.mean([p.policy_margin for p in pushes])),
        "preference/loss": float(np.mean([p.loss for p in pushes])),
        "preference/accuracy": float(np.mean([p.policy_margin > 0 for p in pushes])),
    }
