"""Held-out selection accuracy while a model trains: the probe without its files (W16)."""

from __future__ import annotations

from collections.abc import Sequence

from cleartrace.pairs.record import Pair
from cleartrace.probe.ask import Wording, asks
from cleartrace.probe.local import LocalModel
from cleartrace.probe.manifest import select
from cleartrace.probe.names import Mode
from cleartrace.probe.scorer import LogitScorer
from cleartrace.probe.summary import Score, summarise


def held_out_score(scorer: LogitScorer, pairs: Sequence[Pair], *, seed: int = 0) -> Score:
    """Ask every pair in both orders by logits; a forward pass only, no gradient.

    Raises:
        NothingAnswered: every pair is too long for the model.
    """
    manifest, sampled = select(pairs, per_kind=len(pairs), seed=seed)
    asked = asks(sampled, pairs, controls=False, wording=Wording(scorer.encoder.letters))
    model = LocalModel(scorer, Mode.LOGIT)
    return summarise(manifest, asked, {answer.prompt: answer for answer in model.answer(asked)}).overall


def metrics(score: Score, prefix: str = "ca/val_") -> dict[str, float]:
    """The numbers worth a curve, by metric name; those that are not known are left out.

    `acc` averages both orders; `margin` and `position_bias` are in nats.
    """
    values = {
        "acc": score.averaged.value,
        "acc_first_order": score.first.value,
        "acc_debiased": None if score.debiased is None else score.debiased.value,
        "order_consistency": score.consistency.value,
        "margin": score.margin,
        "position_bias": score.bias,
        "letter_mass": score.mass,
        "pairs": float(score.n),
    }
    return {prefix + name: value for name, value in values.items() if value is not None}
