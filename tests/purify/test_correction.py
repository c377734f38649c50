"""The loss on spliced tokens: weights and masks of section 4.8, token by token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleartrace.purify import SaarConfig
from cleartrace.purify.correction import correct, correction_metrics
from cleartrace.purify.metrics import engine_gap_metrics

OLD = np.array([-1.0, -1.0, -1.0, -1.0, -1.0, -1.0])
SAMPLED = np.array([-1.1, -2.5, -0.9, -0.1, -1.2, -7.0])
SPLICED = [0, 1, 1, 0, 1, 1]
MASK = np.array([1, 1, 1, 1, 1, 0])
"""The last token is spliced and not trained. Log weights of the trained spliced ones: 1.5, -0.1 | 0.2."""


def treat(correction, **values):
    return correct(OLD, SAMPLED, SPLICED, MASK, SaarConfig(correction=correction, **values))


def test_none_changes_nothing():
    got = treat("none")
    assert got.weights.tolist() == [1.0] * 6 and got.mask.tolist() == MASK.tolist()


def test_mask_takes_spliced_tokens_out_and_no_others():
    got = treat("mask")
    assert got.mask.tolist() == [1, 0, 0, 1, 0, 0] and got.weights.tolist() == [1.0] * 6
    assert MASK.tolist() == [1, 1, 1, 1, 1, 0], "the caller's mask is not written to"


def test_token_is_truncates_the_weight_at_the_cap():
    got = treat("token_is")
    assert got.weights == pytest.approx([1, 2.0, np.exp(-0.1), 1, np.exp(0.2), 1])
    assert (got.spliced, got.bounded) == (3, 1)
    assert treat("token_is", correction_cap=10.0).weights[1] == pytest.approx(np.exp(1.5))


def test_icepop_drops_weights_outside_the_bounds():
    got = treat("icepop", correction_bounds=(0.95, 2.0))
    assert got.weights == pytest.approx([1, 0, 0, 1, np.exp(0.2), 1])


def test_reject_judges_each_span_by_its_geometric_mean():
    got = treat("reject", correction_bounds=(0.5, 2.0))
    assert got.mask.tolist() == [1, 0, 0, 1, 1, 0], "exp(mean(1.5, -0.1)) = 2.01 is outside, exp(0.2) inside"
    assert treat("reject", correction_bounds=(0.5, 2.1)).mask.tolist() == MASK.tolist()


def test_missing_log_probs_are_an_error_where_they_are_needed():
    assert correct(OLD, None, SPLICED, MASK, SaarConfig(correction="mask")).mask.sum() == 2
    with pytest.raises(ValueError, match="calculate_log_probs"):
        correct(OLD, None, SPLICED, MASK, SaarConfig(correction="token_is"))
    with pytest.raises(ValueError, match="2 spliced flags"):
        correct(OLD, SAMPLED, [1, 0], MASK[:2], SaarConfig(correction="mask"))


rows = st.lists(st.tuples(st.floats(-60, 0), st.floats(-60, 0), st.booleans(), st.booleans()), min_size=1, max_size=30)


@given(rows, st.sampled_from(["none", "mask", "token_is", "icepop", "reject"]))
def test_tokens_that_are_not_spliced_are_never_touched(tokens, correction):
    old, sampled, spliced, mask = (np.array(column) for column in zip(*tokens, strict=True))
    config = SaarConfig(correction=correction)
    got = correct(old, sampled, spliced.astype(int).tolist(), mask.astype(int), config)
    untouched = ~(spliced & mask)
    assert (got.weights[untouched] == 1).all() and (got.mask[untouched] == mask[untouched]).all()
    assert np.isfinite(got.weights).all() and (got.weights >= 0).all()
    assert got.weights.max() <= config.correction_cap or correction == "icepop"
    assert (got.mask <= mask).all() and got.bounded <= got.spliced == int((spliced & mask).sum())


def test_metrics_count_spliced_trained_tokens():
    got = treat("token_is")
    metrics = correction_metrics([(got, SPLICED), (correct(OLD, SAMPLED, [0] * 6, MASK, SaarConfig()), [0] * 6)])
    assert metrics["rollback/is_clipfrac"] == pytest.approx(1 / 3)
    assert metrics["rollback/is_weight_mean"] == pytest.approx((2 + np.exp(-0.1) + np.exp(0.2)) / 3)
    assert correction_metrics([]) == {}


def test_the_engine_gap_leaves_out_rows_that_were_not_scored():
    gaps = [[0.0, -0.5, -1.5], [], [0.0]]
    assert engine_gap_metrics(gaps, [[0, 1, 1], [1, 1], [0]]) == {
        "rollback/engine_gap_mean": -1.0,
        "rollback/engine_gap_abs_mean": 1.0,
    }
