"""The shift of advantages in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cleartrace.losses.options import Cap
from cleartrace.losses.shift import corrected_shift, legacy_shift, mean_margin, sigmoid

WIDE = 1e9
"""A cap that never binds."""


def corrected(margin: float, n: int, m: int, *, beta=0.1, cap=WIDE, cap_is=Cap.ABSOLUTE, advantage=1.0):
    return corrected_shift(margin, n, m, beta=beta, cap=cap, cap_is=cap_is, advantage=advantage)


def test_the_margin_is_a_difference_of_means():
    assert mean_margin(np.array([-1.0, -2.0]), np.array([-4.0, -4.0, -1.0])) == pytest.approx(-1.5 + 3.0)


@pytest.mark.parametrize("x", [-1000.0, -3.0, 0.0, 3.0, 1000.0])
def test_the_sigmoid_never_overflows(x):
    assert sigmoid(x) == pytest.approx(1 / (1 + math.exp(-x)) if abs(x) < 100 else float(x > 0))


def test_the_published_shift_in_numbers():
    """beta 15, margin 0: a push of 7.5, spread over 10 and 100 tokens."""
    shift = legacy_shift(0.0, 10, 100, beta=15.0, cap=WIDE)
    assert (shift.good, shift.failed) == pytest.approx((0.75, 0.075))


def test_d30_the_published_cap_makes_the_push_depend_on_length_and_ours_does_not():
    legacy = legacy_shift(0.0, 10, 100, beta=15.0, cap=0.1)
    assert 10 * legacy.good == pytest.approx(1.0) and 100 * legacy.failed == pytest.approx(7.5)
    ours = corrected(0.0, 10, 100, beta=15.0, cap=0.1)
    assert 10 * ours.good == pytest.approx(100 * ours.failed) == pytest.approx(1.0)
    assert max(ours.good, ours.failed) <= 0.1


@given(st.floats(-20, 20), st.integers(1, 500), st.integers(1, 500), st.floats(0.01, 20), st.floats(0.001, 1))
def test_d30_totals_are_equal_and_no_token_exceeds_the_cap(margin, n, m, beta, cap):
    shift = corrected(margin, n, m, beta=beta, cap=cap)
    assert n * shift.good == pytest.approx(m * shift.failed)
    assert 0 <= max(shift.good, shift.failed) <= cap * (1 + 1e-12)


def test_d31_a_ratio_is_one_of_the_advantage():
    for advantage in (-2.0, 0.5, 0.0):
        shift = corrected(0.0, 4, 4, beta=15.0, cap=0.1, cap_is=Cap.RATIO, advantage=advantage)
        assert shift.good == shift.failed == pytest.approx(0.1 * abs(advantage))
    assert corrected(0.0, 4, 4, beta=15.0, cap=0.1, advantage=0.0).good == pytest.approx(0.1)


def test_without_a_cap_the_published_shift_is_a_length_normalised_dpo_without_a_reference():
    """What section 7.3 divides by twice is the gradient of the mean: the asymmetry (D30) is the cap's."""
    good = torch.tensor([-0.3, -1.2, -0.7], dtype=torch.float64, requires_grad=True)
    failed = torch.tensor([-2.0, -0.4], dtype=torch.float64, requires_grad=True)
    loss = -torch.nn.functional.logsigmoid(3.0 * (good.mean() - failed.mean()))
    loss.backward()
    margin = (good.mean() - failed.mean()).item()
    shift = legacy_shift(margin, 3, 2, beta=3.0, cap=WIDE)
    assert good.grad is not None and failed.grad is not None
    assert good.grad.tolist() == pytest.approx([-shift.good] * 3, abs=1e-12)
    assert failed.grad.tolist() == pytest.approx([shift.failed] * 2, abs=1e-12)
