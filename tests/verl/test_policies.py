"""Splice policies in SaarAgentLoop: what the engine is asked, and what the trajectory becomes."""

from __future__ import annotations

import asyncio
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verl.experimental.agent_loop.tool_parser import ToolParser
from verl.workers.rollout.replica import TokenOutput

from cleartrace_verl.scoring import score_tokens
from tests.verl.rollouts import Rolled, call, clean_logprob, config_with, logprob, roll_out, roll_out_async, tokenizer

ANSWER = "Answer: \\boxed{3}"
BAD = "n = bad_NameError(1)\nprint(n)"
FIXED = "n = ok_NameError(1)\nprint(n)"
LOOP = call(BAD), call(FIXED, "New thought.\n"), ANSWER


def roll(policy: str, turns=LOOP, multi_turn=None, penalty: float = 0.0, **saar) -> Rolled:
    return roll_out(turns, config=config_with({"policy": policy, **saar}, multi_turn=multi_turn), penalty=penalty)


def test_replace_takes_the_new_turn_as_a_whole():
    rolled = roll("replace")
    assert rolled.trained_text().startswith(call(FIXED, "New thought.\n"))
    assert rolled.record.repairs[0].splice == "replace" and rolled.record.repairs[0].similarity is None


@pytest.mark.parametrize("policy", ["append", "tolerate_first"])
def test_a_failure_that_stays_is_answered_and_nothing_is_regenerated(policy):
    rolled = roll(policy)
    assert rolled.trained_text().startswith(call(BAD) + "<|im_end|>" + call(FIXED, "New thought.\n"))
    assert rolled.record.repairs == [] and rolled.counters["retry_tokens"] == 0
    assert sum(rolled.output.extra_fields["saar_spliced_mask"]) == 0
    assert rolled.output.num_turns == 6


def test_the_gate_asks_for_the_new_turn_in_the_clean_context():
    rolled = roll("importance")
    (scored,) = rolled.server.scored
    assert scored == rolled.server.prompts[0] + rolled.server.sampled[1]
    shown = len(rolled.server.prompts[1]) - len(rolled.server.prompts[0])
    gate = rolled.record.repairs[0].gate
    assert gate == pytest.approx(math.exp(shown / 1024)), "each token is that much likelier in the shorter context"
    assert rolled.trained_text().startswith(call(FIXED, "New thought.\n"))
    assert rolled.counters["scored_tokens"] == len(scored)


def test_what_the_gate_rejects_is_appended_and_on_policy():
    rolled = roll("importance", penalty=2.0)
    assert rolled.trained_text().startswith(call(BAD) + "<|im_end|>" + call(FIXED, "New thought.\n"))
    assert sum(rolled.output.extra_fields["saar_spliced_mask"]) == 0
    assert rolled.record.repairs[0].outcome == "appended"
    assert [(c.position, c.attempt, c.status, c.kept) for c in rolled.record.tool_calls] == [
        (1, 0, "program_error", True),
        (2, 0, "ok", True),
    ]
    assert rolled.output.num_turns == 6
    ids = rolled.output.prompt_ids + rolled.output.response_ids
    assert rolled.server.prompts[2] == ids[: -len(rolled.server.sampled[2])]


def test_an_appended_turn_at_the_turn_limit_is_the_last_and_its_call_is_not_run():
    turns = [call(BAD), call(FIXED)]
    rolled = roll("importance", turns, multi_turn={"max_assistant_turns": 2, "max_user_turns": 2}, penalty=2.0)
    assert rolled.executed == [BAD]
    assert rolled.output.num_turns == 4


def test_a_graft_is_scored_behind_the_reasoning_that_stays():
    rolled = roll("importance", inner_policy="similarity")
    kept = rolled.record.segments[1]
    (scored,) = rolled.server.scored
    grafted = rolled.record.segments[2]
    assert scored == rolled.server.prompts[0] + kept.token_ids + grafted.token_ids
    assert grafted.origin == "grafted"


def test_the_gap_of_spliced_tokens_is_what_the_contexts_differ_by():
    """(D1) engine log-probs depend on the context here, so the gap has a closed form."""
    rolled = roll("replace", score_spliced=True)
    gap, spliced = rolled.output.extra_fields["saar_gap"], rolled.output.extra_fields["saar_spliced_mask"]
    n = len(rolled.server.sampled[1])
    start = len(rolled.output.prompt_ids)
    expected = [clean_logprob(start + i) - logprob(len(rolled.server.prompts[1]), i) for i in range(n)]
    assert gap[:n] == pytest.approx(expected) and expected[0] > 0.01
    assert len(gap) == len(spliced) and all(g == 0.0 for g, s in zip(gap, spliced, strict=True) if not s)


@pytest.mark.parametrize("turns", [[call("print(3)"), ANSWER], [ANSWER]])
def test_nothing_is_scored_without_spliced_tokens(turns):
    rolled = roll("replace", turns, score_spliced=True)
    assert rolled.server.scored == [] and rolled.output.extra_fields["saar_gap"] == []


def test_an_engine_that_cannot_score_is_named():
    class Plain:
        async def generate(self, **request) -> TokenOutput:
            return TokenOutput(token_ids=[1], stop_reason="completed")

    with pytest.raises(ValueError, match="none of 3 prompt log-probs"):
        asyncio.run(score_tokens(Plain(), "id", [1, 2], [3]))


def test_retries_are_paid_for():
    """Tokens, calls and seconds of regenerations stand in the record, kept or not."""
    rolled = roll("similarity", [call(BAD), call(BAD), call(FIXED), ANSWER])
    effort = rolled.record.counters
    assert effort["retry_calls"] == 2
    assert effort["retry_tokens"] == sum(len(s) for s in rolled.server.sampled[1:3])
    assert 0 < effort["retry_generate_s"] <= effort["generate_s"]
    assert 0 < effort["retry_tool_s"] <= effort["tool_s"]
    assert effort["decide_s"] > 0 and effort["score_s"] == 0


def test_a_dropped_rollout_has_no_token_in_the_loss_and_says_so():
    options = {"max_retries": 1, "drop_exhausted": True}
    turns = [call(BAD), call(BAD), ANSWER]
    rolled = roll("similarity", turns, **options)
    assert set(rolled.output.response_mask) == {0} and rolled.record.dropped and not rolled.record.masked
    evaluated = roll_out(turns, config=config_with(options), rollback="on")
    assert not evaluated.record.dropped and 1 in evaluated.output.response_mask


TURNS = st.lists(
    st.sampled_from(
        [
            call(BAD),
            call("n = bad_TypeError(1)\nprint(n)", "Second.\n"),
            call(FIXED),
            call("import math\nprint(math.pi)", "Another way.\n"),
            call(BAD, "") + "\n" + call("print(4)", ""),
            '<tool_call>\n{"name": "code_interpreter", "arguments": {"code": print(3)}}\n</tool_call>',
        ]
    ),
    max_size=6,
)
PATHS = st.fixed_dictionaries(
    {
        "policy": st.sampled_from(["similarity", "replace", "append", "importance", "tolerate_first"]),
        "max_retries": st.integers(0, 3),
        "mask_failed": st.sampled_from(["none", "call", "turn"]),
        "exhausted_mask": st.sampled_from(["none", "call", "turn"]),
    }
)


@settings(max_examples=40, deadline=None)
@given(TURNS, PATHS, st.sampled_from([0.0, 2.0]), st.sampled_from([160, 2000]))
def test_log_probs_stay_aligned_in_every_path(turns, saar, penalty, response_length):
    """Each trained token carries the log-prob of the very request that sampled it; invariants 1, 2 and 6 of 5.2."""
    config = config_with(saar, {"max_parallel_calls": 2}, response_length=response_length, prompt_length=200)
    rolled = asyncio.run(roll_out_async([*turns, *[ANSWER] * 12], config=config, penalty=penalty))
    output = rolled.output
    n = len(output.response_ids)
    assert len(rolled.logprobs) == len(output.response_mask) == n
    sampled = {
        (token, round(logprob(len(prompt), i), 9))
        for prompt, tokens in zip(rolled.server.prompts, rolled.server.sampled, strict=True)
        for i, token in enumerate(tokens)
    }
    for token, value, trained in zip(output.response_ids, rolled.logprobs, output.response_mask, strict=True):
        assert value == 0.0 and not trained or (token, round(value, 9)) in sampled
    _, found = asyncio.run(ToolParser.get_tool_parser("hermes", tokenizer()).extract_tool_calls(output.response_ids))
    executed = [c.code for c in rolled.record.tool_calls if c.kept and c.status not in ("format_error", "not_executed")]
    parsed = [json.loads(c.arguments)["code"] for c in found]
    assert [code for code in executed if code in parsed] == executed
