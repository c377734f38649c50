"""What each splice policy makes of a failed turn and its regeneration (cleaner.md section 4)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleartrace.purify import ProtocolError, SaarConfig, aggregate, on_scored, start
from cleartrace.purify.gate import importance, quantile
from cleartrace.trajectory.audit import audit

OTHER = "import sys\nfor q in sys.argv:\n    zip(q, q)"
LIKELY, UNLIKELY = 20, 21
"""First ids of scripted turns that the scoring request finds about as likely, or far less likely (`clean_logprobs`)."""


def config(policy, **values):
    return SaarConfig(enable=True, policy=policy, **values)


def turn_at(saar, at, outcome="ok", body="print(1)"):
    return saar.call(outcome, body, at=at)


def whole(at):
    return (at, at + 1, 500, at + 2, 501)


def test_replace_takes_the_whole_turn_however_alike_the_calls_are(saar):
    run = saar.drive([saar.call("name"), turn_at(saar, 20), saar.text()], config("replace"))
    assert run.decisions == ["regenerate", "replace", "keep"]
    assert run.flat.response_ids[:5] == whole(20) and run.flat.spliced_mask[:5] == (1,) * 5
    assert run.counters.similarities == ()


def test_append_rewrites_nothing_and_is_on_policy(saar):
    run = saar.drive([saar.call("name"), turn_at(saar, 20), saar.text()], config("append"))
    assert run.decisions == ["keep", "keep"]
    error = saar.encode("NameError", None)
    assert run.flat.response_ids[: 10 + len(error)] == (*whole(10), *error, *whole(20))
    assert sum(run.flat.spliced_mask) == 0 and run.counters.discarded_tokens == 0
    assert (run.counters.appended, run.counters.triggered) == (1, 0)


@pytest.mark.parametrize(("mask", "trained"), [("none", 5), ("call", 2), ("turn", 0)])
@pytest.mark.parametrize("policy", ["append", "tolerate_first"])
def test_what_the_policy_lets_stand_may_be_masked(saar, policy, mask, trained):
    run = saar.drive([saar.call("name"), saar.text()], config(policy, mask_failed=mask))
    assert sum(run.flat.response_mask[:5]) == trained
    assert sum(run.flat.exhausted_mask) == 0


def test_the_gate_replaces_a_turn_that_is_likely_without_the_error(saar):
    run = saar.drive([saar.call("name"), turn_at(saar, LIKELY), saar.text()], config("importance"))
    assert run.decisions == ["regenerate", "replace", "keep"]
    assert run.flat.response_ids[:5] == whole(LIKELY)
    (gate,) = run.counters.gates
    error = 5 + len(saar.encode("NameError", None))
    assert gate == pytest.approx(math.exp(error / 1000)), "the context was shorter by the failed turn and its error"
    assert run.state.repairs[0].gate == gate


def test_the_gate_appends_a_turn_that_needs_the_error(saar):
    run = saar.drive([saar.call("name"), turn_at(saar, UNLIKELY), saar.text()], config("importance"))
    assert run.decisions == ["regenerate", "append", "keep"]
    error = saar.encode("NameError", None)
    assert run.flat.response_ids[: 10 + len(error)] == (*whole(10), *error, *whole(UNLIKELY))
    assert sum(run.flat.spliced_mask) == 0 and run.counters.discarded_tokens == 0
    assert (run.counters.appended, run.counters.recovered, run.counters.failed) == (1, 0, 0)
    assert run.state.repairs[0].outcome.value == "appended"
    second = [s for s in run.segments if s.is_assistant][2:4]
    assert [(s.provenance.origin.value, s.provenance.position, s.provenance.attempt) for s in second] == [
        ("appended", 1, 0)
    ] * 2
    assert audit(run.requests, run.segments, run.rewrites) == []


def test_an_appended_turn_that_fails_is_a_first_attempt_at_the_next_position(saar):
    script = [saar.call("name"), turn_at(saar, UNLIKELY, "type"), turn_at(saar, LIKELY), saar.text()]
    run = saar.drive(script, config("importance", max_retries=1))
    assert run.decisions == ["regenerate", "append", "regenerate", "replace", "keep"]
    assert (run.counters.first_attempts, run.counters.retry_attempts) == (2, 1)


@pytest.mark.parametrize("values", [{"logprobs": False}, {"scores": False}])
def test_without_log_probs_the_gate_appends(saar, values):
    run = saar.drive([saar.call("name"), turn_at(saar, LIKELY), saar.text()], config("importance"), **values)
    assert run.decisions == ["regenerate", "append", "keep"] and run.counters.gates == ()
    assert aggregate([run.counters])["rollback/planb_append_rate"] == 1.0


def test_the_gate_may_judge_a_graft(saar):
    """Only the call's tokens are scored then, behind the reasoning that stays."""
    script = [saar.call("name"), turn_at(saar, LIKELY), saar.text()]
    run = saar.drive(script, config("importance", inner_policy="similarity"))
    assert run.decisions == ["regenerate", "graft", "keep"]
    assert run.flat.response_ids[:5] == (10, 11, 500, LIKELY + 2, 501)
    dropped = 5 + len(saar.encode("NameError", None))
    assert run.counters.gates == (pytest.approx(math.exp(dropped / 1000)),)


def test_the_first_failures_are_tolerated_and_a_success_forgives_them(saar):
    fail, good = saar.call("name"), saar.call("ok")
    run = saar.drive([fail, fail, turn_at(saar, 20), fail, good, saar.text()], config("tolerate_first"))
    assert run.decisions == ["keep", "regenerate", "replace", "keep", "keep", "keep"]
    assert run.counters.tolerated == 2 and run.counters.kept_failures == 2


def test_tolerating_none_is_ordinary_rollback(saar):
    script = [saar.call("name"), turn_at(saar, 20), saar.text()]
    run = saar.drive(script, config("tolerate_first", tolerate=0))
    assert run.decisions == saar.drive(script, config("replace")).decisions


def test_only_what_may_trigger_does(saar):
    """D7, D19: the allow list gates, by class and by status."""
    script = [saar.call("timeout"), saar.call("type"), saar.call("name"), saar.call("ok"), saar.text()]
    run = saar.drive(script, config("replace", retry_on=("NameError",)))
    assert run.decisions == ["keep", "keep", "regenerate", "replace", "keep"]
    run = saar.drive(script, config("replace", retry_on=("program_error",)))
    assert run.decisions[:2] == ["keep", "regenerate"]


def test_a_rollout_whose_repair_failed_can_be_dropped_but_never_an_evaluated_one(saar):
    script = [saar.call("name"), saar.call("name"), saar.text()]
    options = config("similarity", max_retries=1, drop_exhausted=True)
    assert saar.drive(script, options).counters.dropped
    assert not saar.drive(script, options, evaluation=True).counters.dropped
    assert not saar.drive([saar.call("name"), saar.call("ok"), saar.text()], options).counters.dropped


def test_a_score_that_nobody_asked_for_is_refused():
    with pytest.raises(ProtocolError):
        on_scored(start(config("importance"), sample_id="s", step=0, rollout=0), [0.0])


finite = st.floats(-30, 0)


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=40), st.floats(0, 1), st.floats(0.1, 5))
def test_the_gate_is_the_formula_of_section_4_4(pairs, q, clip):
    clean, shown = zip(*pairs, strict=True)
    ratios = np.array(clean) - np.array(shown)
    forms = {"sum": ratios.sum(), "mean": ratios.mean(), "quantile": np.quantile(ratios, q)}
    for form, expected in forms.items():
        options = SaarConfig(gate_form=form, gate_quantile=q)
        assert importance(clean, shown, options) == pytest.approx(math.exp(min(expected, 700)), rel=1e-9)
    clipped = np.clip(ratios, -clip, clip).sum()
    assert importance(clean, shown, SaarConfig(gate_form="sum", gate_clip=clip)) == pytest.approx(math.exp(clipped))
    assert quantile(list(ratios), q) == pytest.approx(np.quantile(ratios, q))


def test_why_the_default_form_is_the_mean():
    """200 tokens, each 0.01 nats less likely: nearly the same turn, and the sum rejects it (section 4.4)."""
    clean, shown = [-1.01] * 200, [-1.0] * 200
    assert importance(clean, shown, SaarConfig(gate_form="sum")) == pytest.approx(math.exp(-2))
    assert importance(clean, shown, SaarConfig()) == pytest.approx(0.990, abs=1e-3)


@pytest.mark.parametrize(("clean", "shown"), [([], []), ([-1.0], [-1.0, -2.0])])
def test_a_score_of_another_length_is_an_error(clean, shown):
    with pytest.raises(ValueError, match="equally many"):
        importance(clean, shown, SaarConfig())
