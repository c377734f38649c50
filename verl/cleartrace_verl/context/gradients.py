"""Two gradients of one optimizer step: how large each is, and the second scaled before it joins the first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.distributed.tensor import DTensor

Gradients = list[torch.Tensor | None]


def set_aside(parameters: Sequence[torch.nn.Parameter]) -> Gradients:
    """The gradients, which the parameters no longer have afterwards."""
    gradients: Gradients = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    return gradients


def of(parameters: Sequence[torch.nn.Parameter]) -> Gradients:
    return [parameter.grad for parameter in parameters]


def add(parameters: Sequence[torch.nn.Parameter], gradients: Gradients, *, own_scale: float) -> None:
    """Make each gradient `gradients` + `own_scale` times what the parameter has."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if parameter.grad is None:
            parameter.grad = gradient
            continue
        if own_scale != 1.0:
            parameter.grad.mul_(own_scale)
        if gradient is not None:
            parameter.grad.add_(gradient)


def norm(gradients: Gradients, device: torch.device | str) -> float:
    """Norm over all ranks. Replicated shards count once per replica, which leaves ratios of two norms as they are."""
    total = torch.zeros((), dtype=torch.float64, device=device)
    for gradient in gradients:
        if gradient is not None:
            local = gradient.to_local() if isinstance(gradient, DTensor) else gradient
            total += local.double().square().sum()
    torch.distributed.all_reduce(total)
    return total.sqrt().item()
