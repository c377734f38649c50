"""The coefficients of a pair against torch's autograd on the loss itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace.losses.dpo import dpo_coefficients

LOG_PROBS = st.lists(st.floats(-6, -0.01), min_size=1, max_size=12)


def reference_loss(good, failed, good_reference, failed_reference, beta, length_normalised):
    """L = -log sigmoid(beta * d), equation 7 of Rafailov et al., in torch."""
    reduce = torch.mean if length_normalised else torch.sum
    d = (reduce(good) - reduce(good_reference)) - (reduce(failed) - reduce(failed_reference))
    return -torch.nn.functional.logsigmoid(beta * d), d


@settings(max_examples=60, deadline=None)
@given(LOG_PROBS, LOG_PROBS, st.floats(0.01, 5), st.booleans(), st.integers(0, 2**31))
def test_the_gradient_of_the_surrogate_is_that_of_the_loss(good, failed, beta, length_normalised, seed):
    """At theta_old, where every ratio is 1, token by token."""
    noise = np.random.default_rng(seed)
    references = [np.array(row) + noise.normal(size=len(row)) for row in (good, failed)]
    w, lose = (torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in (good, failed))
    loss, d = reference_loss(w, lose, *map(torch.from_numpy, references), beta, length_normalised)
    wanted = torch.autograd.grad(loss, (w, lose))

    found = dpo_coefficients(
        np.array(good), np.array(failed), *references, beta=beta, length_normalised=length_normalised
    )
    ratios = [torch.exp(row - row.detach()) for row in (w, lose)]
    surrogate = -(found.good * ratios[0].sum() + found.failed * ratios[1].sum())
    for mine, theirs in zip(torch.autograd.grad(surrogate, (w, lose)), wanted, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6, rtol=0)
    assert (found.loss, found.margin) == pytest.approx((loss.item(), d.item()), abs=1e-9)


def test_the_gradient_reaches_the_parameters_of_a_policy():
    """Through a softmax policy with shared parameters, not only through log-probs taken one by one."""
    torch.manual_seed(0)
    theta = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    rows = {"good": torch.tensor([0, 2, 4]), "failed": torch.tensor([1, 2])}

    def log_probs(tokens: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(theta[: len(tokens)], dim=-1).gather(1, tokens[:, None])[:, 0]

    references = {name: (log_probs(tokens) - 0.3 * i).detach() for i, (name, tokens) in enumerate(rows.items())}
    good, failed = (log_probs(rows[name]) for name in rows)
    loss, _ = reference_loss(good, failed, references["good"], references["failed"], 2.0, False)
    (wanted,) = torch.autograd.grad(loss, theta)

    old = {name: log_probs(tokens).detach() for name, tokens in rows.items()}
    found = dpo_coefficients(
        *(old[name].numpy() for name in rows), *(references[name].numpy() for name in rows), beta=2.0
    )
    surrogate = sum(
        -(coefficient * torch.exp(log_probs(rows[name]) - old[name])).sum()
        for name, coefficient in (("good", found.good), ("failed", found.failed))
    )
    assert isinstance(surrogate, torch.Tensor)
    (mine,) = torch.autograd.grad(surrogate, theta)
    assert torch.allclose(mine, wanted, atol=1e-6, rtol=0) and wanted.abs().max() > 0.01


def test_where_the_reference_is_the_policy_itself_the_push_is_half_of_beta():
    row = np.array([-1.0, -2.0])
    found = dpo_coefficients(row, row - 1, row, row - 1, beta=0.4)
    assert (found.good, found.failed) == pytest.approx((0.2, -0.2))
    assert (found.margin, found.loss) == pytest.approx((0.0, math.log(2)))
    assert found.policy_margin == pytest.approx(2.0)


def test_a_hopeless_pair_is_pushed_with_all_of_beta_and_overflows_nothing():
    worst, best = np.full(400, -50.0), np.full(400, -0.01)
    found = dpo_coefficients(worst, best, best, worst, beta=1.0)
    assert found.good == pytest.approx(1.0) and found.loss == pytest.approx(-found.margin)
