"""The context-awareness loss against its closed form."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cleartrace.losses.context import average_orders, context_loss, option_logits, option_mass
from cleartrace.losses.context_metrics import SUMS, margin_metrics, margin_sums
from cleartrace.losses.context_options import ClipMode, ContextConfig, OrderPolicy

MARGINS = (-8.0, -5.0, -4.9, 0.0, 4.9, 5.0, 8.0)
# Spec, section 5.1: dL/dmargin at c = 5.
GRADIENTS = {
    ClipMode.TWO_SIDED: (0, -0.99331, -0.99261, -0.5, -0.00739, -0.00669, 0),
    ClipMode.UPPER: (-0.99966, -0.99331, -0.99261, -0.5, -0.00739, -0.00669, 0),
    ClipMode.NONE: (-0.99966, -0.99331, -0.99261, -0.5, -0.00739, -0.00669, -0.00034),
    ClipMode.STE: (-0.99331, -0.99331, -0.99261, -0.5, -0.00739, -0.00669, 0),
}


def gradient(values, **options):
    margin = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    context_loss(margin, **options).sum().backward()
    return margin.grad


@pytest.mark.parametrize("mode", list(ClipMode))
def test_gradients_are_those_of_the_table(mode):
    """W12: the dead zone below -c is the published mode's alone."""
    expected = torch.tensor(GRADIENTS[mode], dtype=torch.float64)
    torch.testing.assert_close(gradient(MARGINS, clip=5.0, mode=mode), expected, atol=5e-6, rtol=0)


@pytest.mark.parametrize("mode", [ClipMode.TWO_SIDED, ClipMode.STE])
def test_the_value_far_below_is_that_of_the_clip(mode):
    loss = context_loss(torch.tensor([-8.0, 8.0], dtype=torch.float64), mode=mode)
    assert loss.tolist() == pytest.approx([math.log1p(math.exp(5)), math.log1p(math.exp(-5))])


@pytest.mark.parametrize("mode", list(ClipMode))
def test_extreme_margins_stay_finite(mode):
    margin = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = context_loss(margin, mode=mode)
    loss.sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(margin.grad).all()


@given(st.floats(-20, 20), st.floats(0, 0.49))
def test_label_smoothing_is_a_mixture_of_both_labels(value, smoothing):
    margin = torch.tensor([value], dtype=torch.float64)
    mixed = context_loss(margin, mode=ClipMode.NONE, label_smoothing=smoothing)
    right, wrong = (context_loss(sign * margin, mode=ClipMode.NONE) for sign in (1, -1))
    torch.testing.assert_close(mixed, (1 - smoothing) * right + smoothing * wrong)


@given(st.floats(-50, 50), st.floats(-5, 5), st.floats(-5, 5))
def test_averaged_orders_lose_any_preference_for_a_place(bias, content, noise):
    """l_A - l_B = +-content + bias: the bias helps one order exactly as much as it hurts the other."""
    supporting_first, confounding_first = content + noise + bias, content - noise - bias
    margin = average_orders(torch.tensor([supporting_first, confounding_first], dtype=torch.float64))
    assert margin.item() == pytest.approx(content, abs=1e-9)


def test_averaging_keeps_pairs_apart():
    assert average_orders(torch.tensor([1.0, 3.0, -2.0, 0.0])).tolist() == [2.0, -1.0]


def test_the_margin_of_log_probs_is_that_of_logits():
    logits = torch.randn(4, 11, dtype=torch.float64)
    ids = torch.tensor([[3]] * 4), torch.tensor([[7]] * 4)
    first, second = option_logits(logits, *ids)
    torch.testing.assert_close(first, logits[:, 3].float())
    log_probs = option_logits(logits.log_softmax(-1), *ids)
    torch.testing.assert_close(first - second, log_probs[0] - log_probs[1])
    torch.testing.assert_close(option_mass(logits, first, second), logits.softmax(-1)[:, [3, 7]].sum(-1).float())


def test_several_spellings_are_smooth_where_they_tie():
    """W5: the maximum of two spellings jumps from one to the other; their log-sum-exp shares the gradient."""
    logits = torch.zeros(1, 5, requires_grad=True)
    first, second = option_logits(logits, torch.tensor([[0, 1]]), torch.tensor([[2, 3]]))
    (first - second).sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[0.5, 0.5, -0.5, -0.5, 0.0]]))


def test_counters_on_margins_made_for_them():
    """W12: both ends of the clip are counted, and so is the preference for a place."""
    margin = torch.tensor([-6.0, -5.0, -1.0, 0.0, 2.0, 5.0, 7.0])
    position = torch.tensor([6.0, -5.0, -1.0, 0.0, 2.0, 5.0, 7.0])
    sums = margin_sums(margin, context_loss(margin), position, torch.full((7,), 0.25), clip=5.0)
    metrics = margin_metrics(sums)
    assert metrics["frac_low"] == pytest.approx(1 / 7) and metrics["frac_high"] == pytest.approx(1 / 7)
    assert metrics["acc"] == pytest.approx(3 / 7)
    assert metrics["margin_mean"] == pytest.approx(2 / 7) and metrics["position_bias"] == pytest.approx(2.0)
    assert metrics["margin_std"] == pytest.approx(margin.std(correction=0).item(), rel=1e-6)
    assert metrics["ab_mass"] == pytest.approx(0.25) and metrics["not_finite"] == 0
    assert not any("max" in name or "min" in name for name in metrics)  # T5


def test_metrics_do_not_depend_on_how_rows_are_cut():
    margin, position, mass = torch.randn(12), torch.randn(12), torch.rand(12)
    whole = margin_sums(margin, context_loss(margin), position, mass, clip=1.0)
    parts = sum(
        margin_sums(margin[part], context_loss(margin[part]), position[part], mass[part], clip=1.0)
        for part in (slice(0, 5), slice(5, 6), slice(6, 12))
    )
    torch.testing.assert_close(parts, whole)
    assert margin_metrics(torch.zeros(len(SUMS))) == {}
    unknown = margin_sums(margin, context_loss(margin), position, None, clip=1.0)
    assert "ab_mass" not in margin_metrics(unknown)


def test_the_weight_grows_over_the_warm_up():
    config = ContextConfig(coef=0.01, warmup_steps=4)
    assert [config.coef_at(step) for step in (0, 1, 3, 9)] == pytest.approx([0.0025, 0.005, 0.01, 0.01])
    assert ContextConfig(coef=0.01).coef_at(0) == 0.01


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"coef": -0.1}, "coef"),
        ({"clip": 0}, "clip"),
        ({"debias": True}, "order=both"),
        ({"letters": ("A", "A")}, "differ"),
        ({"enable": True}, "train_files"),
        ({"coeff": 0.1}, "coeff"),
        ({"clip_mode": "lower"}, "two_sided"),
        ({"label_smoothing": 0.5}, "label_smoothing"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValidationError, match=said):
        ContextConfig(**options)


def test_the_off_switches():
    assert not ContextConfig().active
    assert not ContextConfig(enable=True, coef=0.0).active
    on = ContextConfig(enable=True, train_files=("pairs.jsonl",), order=OrderPolicy.BOTH, debias=True)
    assert on.active and not on.measures_gradients
