"""Sampling of one token per row, reproducible whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .config import Sampling

_BELOW_ONE = 1.0 - 2.0**-23


def uniforms(seed: int, count: int) -> np.ndarray:
    """`count` floats in [0, 1) of the Philox stream of `seed`: one per output token, drawn once per request."""
    return np.random.Generator(np.random.Philox(seed % 2**64)).random(count)


def token_log_probs(logits: torch.Tensor, temperatures: torch.Tensor) -> torch.Tensor:
    """Float32 log-softmax [n, vocab] of logits / temperature; 0 (argmax) counts as 1. `temperatures`: [n]."""
    scale = torch.where(temperatures > 0, temperatures, torch.ones_like(temperatures))
    return torch.log_softmax(logits.float() / scale[:, None], dim=-1)


def sample(
    logits: torch.Tensor, settings: Sequence[Sampling], draws: Sequence[float], never: Sequence[int] = ()
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one token per row by inverting the cumulative distribution at `draws`.

    `logits`: float32 [n, vocab]; one uniform in [0, 1) per row, so that a row's token depends on its own logits
    and draw alone. Tokens of `never` are not drawn. Returns token ids int64 [n] and their log-probs float32 [n] (before
    top-p, top-k and `never`).
    """
    device = logits.device
    temperatures = torch.tensor([s.temperature for s in settings], dtype=torch.float32, device=device)
    log_probs = token_log_probs(logits, temperatures)
    greedy = [s.temperature == 0 for s in settings]
    allowed = logits
    if never:
        allowed = logits.index_fill(-1, torch.tensor(never, device=device), float("-inf"))
    if all(greedy):
        tokens = allowed.argmax(-1)
    else:
        probs = token_log_probs(allowed, temperatures).exp() if never else log_probs.exp()
        for row, setting in enumerate(settings):
            if (setting.top_k > 0 or setting.top_p < 1) and not greedy[row]:
                probs[row] = restrict(probs[row], setting.top_p, setting.top_k)
        tokens = _invert(probs, torch.tensor(draws, dtype=torch.float32, device=device))
        if any(greedy):
            tokens = torch.where(torch.tensor(greedy, device=device), allowed.argmax(-1), tokens)
    return tokens, log_probs.gather(-1, tokens[:, None])[:, 0]


def restrict(probs: torch.Tensor, top_p: float, top_k: int) -> torch.Tensor:
    """Zero all but the `top_k` most likely tokens and the smallest set of them that reaches `top_p`. [vocab]."""
    values, order = probs.sort(descending=True, stable=True)
    if top_k > 0:
        values[top_k:] = 0
        values /= values.sum()
    values = values.masked_fill(values.cumsum(0) - values >= top_p, 0)
    return torch.zeros_like(probs).scatter_(0, order, values)


def _invert(probs: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    cumulative = probs.cumsum(-1)
    # Strictly below the total: the search then always ends on a token of non-zero probability.
    targets = cumulative[:, -1] * draws.clamp(max=_BELOW_ONE)
    tokens = torch.searchsorted(cumulative, targets[:, None], right=True)[:, 0]
    return tokens.clamp_(max=probs.shape[-1] - 1)
