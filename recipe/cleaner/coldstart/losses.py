"""The cold-start objective and its learning-rate schedule."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def learning_rate(step: int, steps: int, peak: float, warm_up: int = 200) -> float:
    """Linear warm-up, constant, then linear decay over the last 40 %."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    decay_from = 0.6 * steps
    return peak if step < decay_from else peak * (steps - step) / (steps - decay_from)


def weighted_loss(logits: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    """Mean cross-entropy of the next token. logits (B, T, V); ids and weights (B, T)."""
    per_token = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
    weight = weights[:, 1:].flatten()
    return (per_token * weight).sum() / weight.sum()
