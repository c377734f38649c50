"""Validation on held-out pairs while training."""

from __future__ import annotations

from statistics import fmean

import pytest
import torch
from make_probe import text_pairs, tiny_text_model, tokenizer

from cleartrace.pairs.record import Order
from cleartrace.probe.held_out import held_out_score, metrics
from cleartrace.probe.scorer import LogitScorer


def test_w16_held_out_accuracy_is_the_sign_of_the_trained_margin() -> None:
    """The same rows and the same margin as the loss, by plain forward passes; and a model in training stays there."""
    scorer = LogitScorer(tiny_text_model(), tokenizer())
    scorer.model.train()
    pairs = [pair.model_copy(update={"question": "?" * i + pair.question}) for i, pair in enumerate(text_pairs(8))]
    found = metrics(held_out_score(scorer, pairs))
    margins = [supporting_margin(scorer, pair, order) for pair in pairs for order in Order]
    assert found["ca/val_acc"] == fmean(margin > 0 for margin in margins) and found["ca/val_pairs"] == 8
    assert found["ca/val_margin"] == pytest.approx(fmean(margins), abs=1e-4)
    both = [a + b for a, b in zip(margins[::2], margins[1::2], strict=True)]
    assert found["ca/val_acc_debiased"] == fmean(margin > 0 for margin in both)
    assert scorer.model.training and all(p.grad is None for p in scorer.model.parameters())


def test_names_hold_no_max_or_min() -> None:
    """veRL reduces a metric by the words in its name."""
    score = held_out_score(LogitScorer(tiny_text_model(), tokenizer()), text_pairs(2))
    assert len(metrics(score)) == 8 and not [name for name in metrics(score) if "max" in name or "min" in name]


def supporting_margin(scorer: LogitScorer, pair, order: Order) -> float:
    row = scorer.encode(pair, order)
    with torch.no_grad():
        logits = scorer.model(input_ids=torch.tensor([row.input_ids])).logits[0, -1]
    margin = float(logits[row.first_ids[0]] - logits[row.second_ids[0]])
    return margin if row.correct_first else -margin
