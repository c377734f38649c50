"""What margins say: sums that add up over micro-batches and ranks, and the metrics made of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SUMS = ("terms", "loss", "correct", "margin", "square", "low", "high", "position", "mass", "not_finite")


def margin_sums(margin: Tensor, loss: Tensor, position: Tensor, mass: Tensor | None, clip: float) -> Tensor:
    """fp64 sums over rows, in the order of `SUMS`.

    Args:
        margin: `[terms]` margins, of rows or of averaged orders.
        loss: `[terms]` unweighted L_CA.
        position: `[rows]` logit of the first letter minus that of the second.
        mass: `[rows]` probability of either letter, None where unknown.
    """
    margin, loss, position = (t.detach().double() for t in (margin, loss, position))
    rows_per_term = len(position) / max(len(margin), 1)
    values = (
        margin.new_tensor(len(margin)),
        loss.sum(),
        (margin > 0).double().sum(),
        margin.sum(),
        margin.square().sum(),
        (margin < -clip).double().sum(),
        (margin > clip).double().sum(),
        position.sum() / rows_per_term,
        margin.new_tensor(float("nan")) if mass is None else mass.detach().double().sum() / rows_per_term,
        (~margin.isfinite()).double().sum(),
    )
    return torch.stack(values)


def margin_metrics(sums: Tensor) -> Mapping[str, float]:
    """Means of the summed rows. Names hold neither "max" nor "min", by which veRL would reduce them (T5)."""
    total = dict(zip(SUMS, sums.tolist(), strict=True))
    terms = total["terms"]
    if not terms:
        return {}
    mean = total["margin"] / terms
    metrics = {
        "loss": total["loss"] / terms,
        "acc": total["correct"] / terms,
        "margin_mean": mean,
        "margin_std": max(total["square"] / terms - mean**2, 0.0) ** 0.5,
        "frac_low": total["low"] / terms,
        "frac_high": total["high"] / terms,
        "position_bias": total["position"] / terms,
        "not_finite": total["not_finite"],
    }
    mass = total["mass"] / terms
    return metrics if mass != mass else {**metrics, "ab_mass": mass}
