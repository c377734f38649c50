"""The importance gate: is a regenerated turn likely without the error it was shown? (cleaner.md section 4.4)"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cleartrace.purify.config import GateForm, SaarConfig


def importance(clean: Sequence[float], shown: Sequence[float], config: SaarConfig) -> float:
    """G >= 0 of one candidate.

    Args:
        clean: log pi_b of each candidate token after the clean prefix.
        shown: log pi_b of the same token after the prefix, the failed turn and its error.

    Returns:
        exp of the sum, the mean or a quantile of D_t = clean_t - shown_t, each D_t clipped to `gate_clip`.

    Raises:
        ValueError: no tokens, or lists of different length.

    Example:
        >>> importance([-1.0, -2.0], [-1.0, -1.0], SaarConfig(gate_form="sum"))  # exp(-1)
        0.36787944117144233
    """
    if not clean or len(clean) != len(shown):
        raise ValueError(f"the gate compares equally many log-probs, at least one; got {len(clean)} and {len(shown)}")
    bound = math.inf if config.gate_clip is None else config.gate_clip
    ratios = [min(max(c - s, -bound), bound) for c, s in zip(clean, shown, strict=True)]
    if config.gate_form is GateForm.QUANTILE:
        value = quantile(ratios, config.gate_quantile)
    else:
        value = math.fsum(ratios) / (1 if config.gate_form is GateForm.SUM else len(ratios))
    return math.exp(min(value, 700.0))


def quantile(values: Sequence[float], q: float) -> float:
    """Linear interpolation between order statistics, the usual definition (numpy's default)."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
