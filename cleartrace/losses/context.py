"""The context-awareness loss: a clipped margin between two option letters (arXiv 2606.17053, section 3).

For a pair with the letters of its supporting and its confounding context, and their next-token logits l+ and l-:
margin = l+ - l-, and L_CA = -log sigmoid(clip(margin, -c, c)).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from cleartrace.losses.context_options import ClipMode


def clip_margin(margin: Tensor, clip: float, mode: ClipMode) -> Tensor:
    """Clipped margins, same shape. At exactly +-`clip` the gradient passes in every mode.

    `ste` has the value of `two_sided`, but below -`clip` the gradient passes.
    """
    match mode:
        case ClipMode.TWO_SIDED:
            return margin.clamp(-clip, clip)
        case ClipMode.UPPER:
            # Not torch.minimum: that one halves the gradient at equality.
            return margin.clamp(max=clip)
        case ClipMode.STE:
            upper = margin.clamp(max=clip)
            return upper + (upper.clamp(min=-clip) - upper).detach()
        case ClipMode.NONE:
            return margin


def context_loss(
    margin: Tensor, *, clip: float = 5.0, mode: ClipMode = ClipMode.TWO_SIDED, label_smoothing: float = 0.0
) -> Tensor:
    """L_CA of each margin, same shape, in the margins' dtype.

    Args:
        margin: logit of the supporting letter minus that of the confounding one.
        clip: c of the paper, in logits.
        label_smoothing: share of pairs taken to be labelled the wrong way round, as in conservative DPO.
    """
    clipped = clip_margin(margin, clip, mode)
    loss = -logsigmoid(clipped)
    if label_smoothing:
        loss = (1 - label_smoothing) * loss - label_smoothing * logsigmoid(-clipped)
    return loss


def average_orders(margin: Tensor) -> Tensor:
    """Mean margin over the two orders of each pair: `[2n]`, both rows of a pair together, to `[n]`.

    What is added to the logit of the first letter, whatever stands under it, cancels.
    """
    return margin.unflatten(0, (-1, 2)).mean(dim=1)


def option_logits(logits: Tensor, first_ids: Tensor, second_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of both letters, each `[rows]` in fp32: differences of bf16 logits near 20 are quantised to 0.125.

    Several spellings of one letter count as one event: log-sum-exp, which unlike their maximum is smooth (W5).

    Args:
        logits: `[rows, vocabulary]` at the answer position.
        first_ids, second_ids: `[rows, spellings]` token ids.
    """
    logits = logits.float()
    return logits.gather(1, first_ids).logsumexp(1), logits.gather(1, second_ids).logsumexp(1)


def option_mass(logits: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Probability that the next token is one of the two letters, `[rows]`; takes what `option_logits` took and gave."""
    return (torch.logaddexp(first, second) - logits.float().logsumexp(1)).exp()
