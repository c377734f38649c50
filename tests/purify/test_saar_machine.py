"""The SAAR machine, one test per defect row it answers (D6, D7, D12-D19, D22, D23) and against the reference."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace.purify import (
    GiveUp,
    Keep,
    Limits,
    ProtocolError,
    Regenerate,
    SaarConfig,
    on_executed,
    on_regenerated,
    sampled_turn,
    start,
)
from cleartrace.purify.reference import saar_reference
from cleartrace.tools.result import ToolResult, ToolStatus
from cleartrace.trajectory.audit import audit
from cleartrace.trajectory.segment import count_turns

OTHER = "import sys\nfor q in sys.argv:\n    zip(q, q)"


def config(**values):
    return SaarConfig(enable=True, **values)


def test_similar_call_is_grafted_and_error_leaves_the_list(saar):
    run = saar.drive([saar.call("name"), saar.call("ok", at=20), saar.text()])
    assert run.decisions == ["regenerate", "graft", "keep"]
    assert run.flat.response_ids[:5] == (10, 11, 500, 22, 501)
    assert run.flat.spliced_mask[:5] == (0, 0, 1, 1, 1)
    assert run.counters.call_only_splices == run.counters.recovered == 1
    assert run.counters.discarded_tokens == 3 + 2


def test_different_call_replaces_the_turn(saar):
    run = saar.drive([saar.call("name"), saar.call("ok", OTHER, at=20), saar.text()])
    assert run.decisions == ["regenerate", "replace", "keep"]
    assert run.flat.response_ids[:5] == (20, 21, 500, 22, 501)
    assert run.flat.spliced_mask[:5] == (1, 1, 1, 1, 1)


def test_d5_first_turn_replace_keeps_sampler_logprobs(saar):
    run = saar.drive([saar.call("name"), saar.call("ok", OTHER, at=20), saar.text()])
    flat = run.flat
    assert flat.response_logprobs[:5] == run.requests[1].logprobs
    assert len(flat.response_logprobs) == len(flat.response_mask) == len(flat.response_ids)


def test_d6_failure_at_turn_15_of_16_leaves_an_answer_turn(saar):
    script = [saar.call("ok") for _ in range(14)] + [saar.call("name"), saar.call("ok"), saar.text(77)]
    run = saar.drive(script, max_turns=16)
    assert run.flat.response_ids[-1] == 77 and count_turns(run.segments).assistant == 16


def test_d6_no_retry_when_no_turn_is_left(saar):
    run = saar.drive([saar.call("ok"), saar.call("name"), saar.call("ok")], max_turns=2)
    assert run.decisions == ["keep", "limit"] and len(run.prompts) == 2
    assert run.counters.triggered == 0


def test_d7_infra_error_never_regenerates_and_flags(saar):
    run = saar.drive([saar.call("infra"), saar.text()])
    assert run.decisions == ["keep"] and len(run.prompts) == 2
    assert run.counters.infra_failed and run.counters.failures == ()


def test_d7_infra_error_beside_a_model_error_is_not_fed_back():
    turn = sampled_turn([1], [2, 3], None, 1, position=0)
    results = [ToolResult(ToolStatus.PROGRAM_ERROR, error_class="NameError"), ToolResult(ToolStatus.INFRA_ERROR)]
    _, decision = on_executed(start(config(), sample_id="s", step=0, rollout=0), turn, results, Limits(1000))
    assert isinstance(decision, Keep) and decision.infra


def test_d8_a_failure_that_prints_the_success_phrase_is_a_failure():
    turn = sampled_turn([1], [2, 3], None, 1, position=0)
    result = ToolResult(ToolStatus.PROGRAM_ERROR, stdout="Tool call success", error_class="ValueError")
    _, decision = on_executed(start(config(), sample_id="s", step=0, rollout=0), turn, [result], Limits(1000))
    assert isinstance(decision, Regenerate)


def test_d9_format_error_is_eligible_and_d11_all_results_are_fed_back():
    turn = sampled_turn([1], [2, 3], None, None, position=0, has_call=True)
    results = (
        ToolResult(ToolStatus.FORMAT_ERROR, error_class="format_error"),
        ToolResult(ToolStatus.PROGRAM_ERROR, error_class="NameError"),
        ToolResult(ToolStatus.NOT_EXECUTED),
    )
    state, decision = on_executed(start(config(), sample_id="s", step=0, rollout=0), turn, results, Limits(1000))
    assert isinstance(decision, Regenerate) and decision.attempts[0].results == results
    assert state.counters.first_attempts == 2


def test_d12_no_request_with_ten_tokens_left(saar):
    used = 5 + len(saar.encode("NameError", None))
    run = saar.drive([saar.call("name"), saar.text()], response_length=used + 10)
    assert run.decisions == ["budget"] and run.counters.skipped_budget == 1
    assert run.prompts[1] == [*saar.prompt, 10, 11, 500, 12, 501, *saar.encode("NameError", None)]


@pytest.mark.parametrize(("scope", "recovered"), [("position", 1), ("trajectory", 0)])
def test_d13_exhaustion_scope(saar, scope, recovered):
    script = [saar.call("name"), saar.call("name"), saar.call("ok"), saar.call("name"), saar.call("ok"), saar.text()]
    run = saar.drive(script, config(max_retries=1, on_exhaustion=scope))
    assert run.counters.exhausted == 1 and run.counters.recovered == recovered


def test_d13_successes_do_not_use_the_total_budget(saar):
    script = [saar.call("ok")] * 5 + [saar.call("name"), saar.call("ok"), saar.call("name"), saar.text()]
    run = saar.drive(script, config(max_total_retries=1))
    assert run.decisions == ["keep"] * 5 + ["regenerate", "graft", "keep", "keep"]


def test_d14_fifty_retries_without_recursion(saar):
    run = saar.drive([saar.call("name")] * 51, config(max_retries=50, max_total_retries=50))
    assert run.decisions.count("regenerate") == 50 and run.decisions[-1] == "exhausted"
    assert len(set(run.depths)) == 1


def test_d15_a_failed_round_leaves_the_state_equal():
    before = start(config(), sample_id="s", step=0, rollout=0)
    turn = sampled_turn([1], [2, 3], None, 1, position=0)
    failure = ToolResult(ToolStatus.PROGRAM_ERROR, error_class="NameError")
    state, _ = on_executed(before, turn, [failure], Limits(1000))
    after, decision = on_regenerated(state, None)
    assert before == start(config(), sample_id="s", step=0, rollout=0)
    assert isinstance(decision, GiveUp) and decision.reason.value == "aborted"
    assert decision.turn.token_ids == turn.token_ids
    assert (after.attempts, after.splices, after.retries, after.phase) == ((), (), 0, before.phase)


def test_d16_no_call_keeps_turn_error_and_answer_and_counts_turns(saar):
    run = saar.drive([saar.call("name"), saar.text(77)])
    assert run.decisions == ["regenerate", "no_call"]
    assert run.flat.response_ids == (10, 11, 500, 12, 501, *saar.encode("NameError", None), 77)
    assert count_turns(run.segments).total == run.messages == 4
    assert sum(run.flat.spliced_mask) == 0


@pytest.mark.parametrize(("mask", "trained"), [("none", 5), ("call", 2), ("turn", 0)])
def test_d18_exhausted_mask(saar, mask, trained):
    run = saar.drive([saar.call("name"), saar.call("name"), saar.text()], config(max_retries=1, exhausted_mask=mask))
    assert sum(run.flat.response_mask[:5]) == trained
    assert run.counters.exhausted_tokens == 5


def test_d19_timeouts_with_k_zero_are_not_retried(saar):
    run = saar.drive([saar.call("timeout"), saar.call("name"), saar.call("ok")], config(error_policy={"timeout": 0}))
    assert run.decisions == ["keep", "regenerate", "graft", "keep"]


def test_d22_retry_context(saar):
    script = [saar.call("name"), saar.call("type", at=20), saar.call("ok", at=30)]
    first = [10, 11, 500, 12, 501, *saar.encode("NameError", None)]
    second = [10, 11, 500, 22, 501, *saar.encode("TypeError", None)]
    assert saar.drive(script, config(retry_context="latest")).prompts[2] == [*saar.prompt, *second]
    assert saar.drive(script, config(retry_context="all")).prompts[2] == [*saar.prompt, *first, *second]


@pytest.mark.parametrize(("left", "retried"), [(64, True), (63, False)])
def test_d12_the_floor_itself_is_enough(saar, left, retried):
    used = 5 + len(saar.encode("NameError", None))
    run = saar.drive([saar.call("name"), saar.text()], response_length=used + left)
    assert (run.decisions[0] == "regenerate") is retried


@pytest.mark.parametrize(("second", "named"), [("name", True), ("type", False)])
def test_d23_hint_names_the_type_only_when_they_agree(saar, second, named):
    run = saar.drive(
        [saar.call("name"), saar.call(second), saar.call(second), saar.text()],
        config(max_retries=2, hint_text="<{error_class}!>", hint_text_neutral="<differ>"),
    )
    error = {"name": "NameError", "type": "TypeError"}[second]
    assert run.prompts[-1][-len(saar.encode(error, "")) :] != saar.encode(error, None)
    expected = saar.encode(error, "<NameError!>" if named else "<differ>")
    assert run.prompts[-1][-len(expected) :] == expected


def test_disabled_machine_changes_nothing(saar):
    run = saar.drive([saar.call("name"), saar.call("ok"), saar.text()], SaarConfig())
    assert run.decisions == ["keep", "keep"] and run.counters.arm == "off"
    assert run.counters.kept_failures == 1


def test_compare_to_first_uses_the_first_attempt(saar):
    script = [saar.call("name"), saar.call("name", OTHER), saar.call("ok", OTHER)]
    assert saar.drive(script, config(compare_to="latest")).decisions[3] == "graft"
    assert saar.drive(script, config(compare_to="first")).decisions[3] == "replace"


def test_events_out_of_order_are_refused():
    state = start(config(), sample_id="s", step=0, rollout=0)
    turn = sampled_turn([1], [2, 3], None, 1, position=0)
    with pytest.raises(ProtocolError):
        on_regenerated(state, turn)
    with pytest.raises(ProtocolError):
        on_executed(state, turn, [], Limits(1000))


def test_repairs_hold_every_failed_attempt(saar):
    run = saar.drive([saar.call("name"), saar.call("type"), saar.call("ok"), saar.text()])
    (repair,) = run.state.repairs
    assert [a.results[0].error_class for a in repair.attempts] == ["NameError", "TypeError"]
    assert repair.outcome.value == "recovered" and run.counters.solved_at == (2,)


calls = st.builds(
    lambda outcome, body, at: ([at, at + 1], [500, at + 2, 501], f"# {outcome}\n{body}"),
    st.sampled_from(["ok", "name", "name", "type", "timeout"]),
    st.sampled_from(["print(1)", "print(12)", OTHER]),
    st.integers(10, 60),
)
answers = st.one_of(calls, calls, calls, calls, calls, calls, st.just(([70, 71], [], "")))
POLICIES = [("similarity", "replace"), ("replace", "replace"), ("append", "replace")]
POLICIES += [("importance", inner) for inner in ("replace", "similarity")]
POLICIES += [("tolerate_first", inner) for inner in ("replace", "similarity", "importance")]


def any_config(policies, retry_context, **values):
    policy, inner = policies
    if "importance" in policies:
        retry_context = "latest"
    return SaarConfig(policy=policy, inner_policy=inner, retry_context=retry_context, **values)


configs = st.builds(
    any_config,
    policies=st.sampled_from([*POLICIES, POLICIES[0], POLICIES[0]]),
    gate_form=st.sampled_from(["sum", "mean", "quantile"]),
    tolerate=st.integers(0, 2),
    mask_failed=st.sampled_from(["none", "call", "turn"]),
    enable=st.sampled_from([True, True, True, False]),
    max_retries=st.integers(0, 4),
    max_total_retries=st.integers(0, 6),
    on_exhaustion=st.sampled_from(["position", "trajectory"]),
    compare_to=st.sampled_from(["latest", "first"]),
    exhausted_mask=st.sampled_from(["none", "call", "turn"]),
    retry_context=st.sampled_from(["latest", "all"]),
    hint_after=st.integers(1, 3),
    error_policy=st.sampled_from([{}, {"timeout": 0}, {"NameError": 1}]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(answers, min_size=3, max_size=12), configs, st.sampled_from([120, 4000]))
def test_machine_equals_the_plain_reference(saar, script, settings_, length):
    run = saar.drive(script, settings_, response_length=length)
    answers_left = iter(script)
    trace = saar_reference(
        saar.prompt,
        lambda _: next(answers_left, ([7], [], "")),
        saar.run_code,
        saar.encode,
        settings_,
        length,
        saar.shown_logprobs,
        saar.clean_logprobs,
    )
    assert run.prompts == trace.prompts
    assert run.decisions == trace.decisions
    assert [*run.flat.prompt_ids, *run.flat.response_ids] == trace.ids
    assert [0] * len(saar.prompt) + list(run.flat.response_mask) == trace.mask
    closed = run.counters.recovered + run.counters.failed + sum(d == "append" for d in run.decisions)
    assert run.counters.triggered == closed == len(run.state.repairs)
    assert audit(run.requests, run.segments, run.rewrites) == []
