"""DPO on two tool calls behind one context, as coefficients for a policy-gradient loss.

    L = -log sigmoid(beta * d),   d = (log pi(w) - log ref(w)) - (log pi(l) - log ref(l))

over the tokens of the good call w and the failed call l (Rafailov et al. 2023, equation 7). At a policy pi_old the
gradient of L is that of -(sum_t a_w * r_t + sum_t a_l * r_t) with ratios r_t = pi / pi_old and a_w = -a_l =
beta * sigmoid(-beta * d), which is what a trainer computes from advantages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cleartrace.losses.shift import sigmoid


@dataclass(frozen=True)
class Coefficients:
    """Advantage of each token of the good and of the failed call, and what they were computed from."""

    good: float
    failed: float
    margin: float
    """d."""
    loss: float
    policy_margin: float
    """d without the reference policy."""


def dpo_coefficients(
    good: np.ndarray,
    failed: np.ndarray,
    good_reference: np.ndarray,
    failed_reference: np.ndarray,
    *,
    beta: float,
    length_normalised: bool = False,
) -> Coefficients:
    """Coefficients of one pair.

    Args:
        good: log pi_old of the good call's tokens, [n].
        failed: log pi_old of the failed call's tokens, [m].
        good_reference, failed_reference: the same under the reference policy.
        length_normalised: mean over a call's tokens instead of the sum.
    """
    over = (len(good), len(failed)) if length_normalised else (1, 1)
    own = float(np.sum(good)) / over[0] - float(np.sum(failed)) / over[1]
    margin = own - (float(np.sum(good_reference)) / over[0] - float(np.sum(failed_reference)) / over[1])
    push = beta * sigmoid(-beta * margin)
    return Coefficients(
        good=push / over[0],
        failed=-push / over[1],
        margin=margin,
        loss=float(np.logaddexp(0.0, -beta * margin)),
        policy_margin=own,
    )
