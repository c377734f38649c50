"""SaarAgentLoop, turn by turn. Ids in parentheses are the defects of the published implementation."""

from __future__ import annotations

import asyncio
import json
import os

import pytest
from verl.experimental.agent_loop.tool_parser import ToolParser

from cleartrace.purify.config import SaarConfig
from cleartrace.tools.result import ToolResult, ToolStatus
from cleartrace_verl.trajectory_log import RolloutLog
from tests.verl.rollouts import Rolled, call, config_with, failure, logprob, roll_out, roll_out_async, tokenizer

ANSWER = "Answer: \\boxed{3}"
BAD = "n = bad_NameError(1)\nprint(n)"
FIXED = "n = ok_NameError(1)\nprint(n)"
OTHER = "import math\nfor word in 'xyzzy'.split():\n    print(math.pi * 7, word)"


def kinds(rolled: Rolled) -> list[str]:
    return [segment.kind for segment in rolled.record.segments]


def check_lengths(rolled: Rolled) -> None:
    output = rolled.output
    n = len(output.response_ids)
    assert len(output.response_mask) == n
    assert output.response_logprobs is None or len(output.response_logprobs) == n
    for name in ("saar_spliced_mask", "saar_origin", "saar_exhausted_mask"):
        assert len(output.extra_fields[name]) == n


def test_a_success_keeps_every_sampled_token():
    rolled = roll_out([call("print(3)"), ANSWER])
    check_lengths(rolled)
    expected = ["prompt", "assistant_reasoning", "assistant_call", "boundary", "tool", "assistant_reasoning"]
    assert kinds(rolled) == expected
    assert rolled.trained_text() == call("print(3)") + "<|im_end|>" + ANSWER + "<|im_end|>"
    ids = rolled.output.prompt_ids + rolled.output.response_ids
    assert rolled.server.prompts[1] == ids[: -len(rolled.server.sampled[1])]
    assert "Tool call success\nstdout: 3" in rolled.text
    assert rolled.counters["first_successes"] == 1
    assert rolled.counters["triggered"] == 0
    assert rolled.output.num_turns == 4


def test_logprobs_are_the_engines_and_zero_on_context_tokens():
    rolled = roll_out([call("print(3)"), ANSWER])
    start = len(rolled.output.prompt_ids)
    for i, (value, trained) in enumerate(zip(rolled.logprobs, rolled.output.response_mask, strict=True)):
        assert value == (pytest.approx(logprob(start, i)) if trained else 0.0)


def test_without_logprobs_none_are_made_up():
    rolled = roll_out([call(BAD), call(FIXED), ANSWER], with_logprobs=False)
    assert rolled.output.response_logprobs is None
    check_lengths(rolled)


def test_a_similar_repair_is_grafted_under_the_old_reasoning():
    rolled = roll_out([call(BAD, "Old thought.\n"), call(FIXED, "New thought.\n"), ANSWER])
    assert rolled.trained_text().startswith(call(FIXED, "Old thought.\n"))
    assert "bad_NameError" not in rolled.text
    assert "New thought" not in rolled.text
    repair = rolled.record.repairs[0]
    assert (repair.outcome, repair.splice) == ("recovered", "graft")
    assert repair.similarity is not None and repair.similarity >= 0.5
    assert rolled.counters["call_only_splices"] == 1
    feedback = tokenizer().decode(rolled.server.prompts[1])
    assert "Tool call failure" in feedback and "NameError at line 1" in feedback
    assert "Tool call failure" not in tokenizer().decode(rolled.server.prompts[2])


def test_a_graft_keeps_the_logprobs_of_the_context_each_part_was_sampled_in():
    thought = "Old thought.\n"
    rolled = roll_out([call(BAD, thought), call(FIXED, "New thought.\n"), ANSWER])
    reasoning, grafted = rolled.record.segments[1:3]
    first, second = rolled.server.prompts[:2]
    offset = len(rolled.server.sampled[1]) - len(grafted.token_ids)
    expected = [logprob(len(first), i) for i in range(len(reasoning.token_ids))]
    expected += [logprob(len(second), offset + i) for i in range(len(grafted.token_ids))]
    assert rolled.logprobs[: len(expected)] == pytest.approx(expected)
    spliced = rolled.output.extra_fields["saar_spliced_mask"]
    assert spliced[: len(expected)] == [0] * len(reasoning.token_ids) + [1] * len(grafted.token_ids)


def test_the_discarded_call_of_a_graft_is_not_recorded_as_kept():
    rolled = roll_out([call(BAD), call(FIXED), ANSWER])
    assert [(c.attempt, c.status, c.kept) for c in rolled.record.tool_calls] == [
        (0, "program_error", False),
        (1, "ok", True),
    ]


def test_first_turn_deep_splice_has_equal_lengths_and_right_values():
    """(D5)"""
    rolled = roll_out([call(BAD), call(OTHER, "Another way.\n"), ANSWER])
    check_lengths(rolled)
    assert rolled.trained_text().startswith(call(OTHER, "Another way.\n"))
    assert rolled.record.repairs[0].splice == "replace"
    assert rolled.counters["full_turn_splices"] == 1
    replaced = rolled.server.sampled[1]
    assert rolled.output.response_ids[: len(replaced)] == replaced
    expected = [logprob(len(rolled.server.prompts[1]), i) for i in range(len(replaced))]
    assert rolled.logprobs[: len(replaced)] == pytest.approx(expected)
    answer = rolled.server.sampled[2]
    expected = [logprob(len(rolled.server.prompts[2]), i) for i in range(len(answer))]
    assert rolled.logprobs[-len(answer) :] == pytest.approx(expected)


def test_a_second_retry_sees_the_spliced_attempt_and_recovers():
    again = "n = bad_TypeError(1)\nprint(n)"
    rolled = roll_out([call(BAD, "Old thought.\n"), call(again, "Second.\n"), call(FIXED, "Third.\n"), ANSWER])
    assert rolled.executed == [BAD, again, FIXED]
    shown = tokenizer().decode(rolled.server.prompts[2])
    assert "Old thought.\n<tool_call>" in shown and "TypeError at line 1" in shown
    assert "NameError at line" not in shown and "Second." not in shown
    assert rolled.counters["solved_at"] == (2,)
    assert rolled.counters["triggered"] == 1
    assert len(rolled.record.repairs[0].attempts) == 2
    assert rolled.trained_text().startswith(call(FIXED, "Old thought.\n"))


def test_exhaustion_keeps_the_failure_with_a_hint():
    rolled = roll_out([call(BAD)] * 4 + [ANSWER])
    assert len(rolled.executed) == 4
    assert "4 attempts at this step ended with NameError" in rolled.text
    assert rolled.counters["exhausted"] == 1
    assert rolled.record.repairs[0].outcome == "exhausted"
    assert sum(rolled.output.extra_fields["saar_exhausted_mask"]) > 0
    assert rolled.text.endswith(ANSWER + "<|im_end|>")
    ids = rolled.output.prompt_ids + rolled.output.response_ids
    assert rolled.server.prompts[4] == ids[: -len(rolled.server.sampled[4])]


@pytest.mark.parametrize(
    "turns",
    [
        [call("print(3)"), ANSWER],
        [call(BAD, "Old thought.\n"), call(FIXED, "New thought.\n"), call("print(4)"), ANSWER],
        [call(BAD), call(OTHER), ANSWER],
        [call(BAD), call(BAD), call(BAD), call(BAD), call("print(5)"), ANSWER],
    ],
    ids=["success", "graft", "replace", "exhausted"],
)
def test_parsing_the_final_tokens_gives_the_calls_that_were_executed_and_kept(turns):
    rolled = roll_out(turns)
    parser = ToolParser.get_tool_parser("hermes", tokenizer())
    _, calls = asyncio.run(parser.extract_tool_calls(rolled.output.response_ids))
    kept = [c.code for c in rolled.record.tool_calls if c.kept]
    assert [json.loads(found.arguments)["code"] for found in calls] == kept
    assert set(kept) <= set(rolled.executed)


def test_the_record_holds_the_tool_texts_the_model_read():
    config = config_with({"max_retries": 2}, multi_turn={"max_tool_response_length": 60})
    good = ToolResult(ToolStatus.OK, stdout="y" * 300)
    bad = failure("NameError", stdout="x" * 300)
    turns = [call("print(3)"), call(BAD), call(BAD), call(BAD), ANSWER]
    rolled = roll_out(turns, config=config, run=lambda code: bad if code == BAD else good)
    tools = [s for s in rolled.record.segments if s.kind == "tool"]
    read = ["".join(s.pieces) for s in tools]
    kept = [c.text for c in rolled.record.tool_calls if c.kept]
    assert len(kept) == len(read) == 2
    for text, shown in zip(kept, read, strict=True):
        assert text in shown
    assert "...(cut)..." in kept[0]
    hint = SaarConfig().hint(("NameError",) * 3)
    assert hint is not None and kept[1].endswith(hint)


def test_an_answer_without_a_call_after_the_error_is_kept_behind_it():
    rolled = roll_out([call(BAD), ANSWER])
    assert rolled.record.repairs[0].outcome == "no_call"
    assert rolled.trained_text() == call(BAD) + "<|im_end|>" + ANSWER + "<|im_end|>"
    assert "Tool call failure" in rolled.text
    assert rolled.record.segments[-1].origin == "appended"
    assert rolled.output.num_turns == 4


def test_an_answer_after_two_attempts_in_full_context_is_kept():
    config = config_with({"retry_context": "all"})
    rolled = roll_out([call(BAD), call("n = bad_TypeError(1)\nprint(n)"), ANSWER], config=config)
    check_lengths(rolled)
    assert rolled.text.endswith(ANSWER + "<|im_end|>")
    assert rolled.output.extra_fields["saar_spliced_mask"][-1] == 1


def test_an_answer_for_which_the_error_leaves_no_room_is_dropped_and_counted():
    long = failure("NameError", stdout="x" * 400)
    turn = tokenizer().encode(call(BAD) + "<|im_end|>")
    config = config_with(response_length=len(turn) + 100, prompt_length=1000)
    rolled = roll_out([call(BAD), ANSWER], config=config, run=lambda code: long)
    check_lengths(rolled)
    assert rolled.output.response_ids == turn
    assert rolled.counters["discarded_tokens"] == len(rolled.server.sampled[1])


def test_an_aborted_regeneration_is_not_an_answer():
    rolled = roll_out([call(BAD), None, ANSWER])
    assert rolled.record.repairs[0].outcome == "limit"
    assert rolled.text.endswith(ANSWER + "<|im_end|>")


MALFORMED = {
    "no_json": '<tool_call>\n{"name": "code_interpreter", "arguments": {"code": print(3)}}\n</tool_call>',
    "no_end": '<tool_call>\n{"name": "code_interpreter", "arguments": {"code": "print(3)"}}',
    "no_code": '<tool_call>\n{"name": "code_interpreter", "arguments": {"program": "print(3)"}}\n</tool_call>',
    "code_is_a_list": '<tool_call>\n{"name": "code_interpreter", "arguments": {"code": ["print(3)"]}}\n</tool_call>',
    "arguments_are_text": '<tool_call>\n{"name": "code_interpreter", "arguments": "print(3)"}\n</tool_call>',
    "unknown_tool": '<tool_call>\n{"name": "python", "arguments": {"code": "print(3)"}}\n</tool_call>',
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("enable", [True, False])
def test_a_malformed_call_is_a_format_error_and_the_trajectory_goes_on(text, enable):
    """(D9)"""
    turns = [text, call("print(3)"), ANSWER]
    rolled = roll_out(turns, config=config_with({"enable": enable}))
    first = rolled.record.tool_calls[0]
    assert (first.status, first.error_class) == ("format_error", "format_error")
    assert rolled.executed == ["print(3)"]
    assert rolled.counters["triggered"] == int(enable)
    assert rolled.text.endswith(ANSWER + "<|im_end|>")
    assert ("Tool call failure" in rolled.text) is not enable


def two_calls(first: str, second: str) -> str:
    return call(first) + "\n" + call(second, "")


def test_a_surplus_call_is_answered_and_not_run():
    """(D11)"""
    config = config_with(multi_turn={"max_parallel_calls": 1})
    rolled = roll_out([two_calls("print(3)", "print(4)"), ANSWER], config=config)
    assert rolled.executed == ["print(3)"]
    assert [c.status for c in rolled.record.tool_calls] == ["ok", "not_executed"]
    assert "Not executed: at most 1 tool call" in rolled.text
    assert rolled.text.count("<tool_response>") == 2
    assert rolled.counters["first_attempts"] == 1


UNREADABLE = '<tool_call>\n{"name": "code_interpreter", "arguments": {"code": "print(5)"\n</tool_call>'


@pytest.mark.parametrize(("written", "statuses"), [("bad good", "format_error ok"), ("good bad", "ok format_error")])
def test_an_unreadable_call_beside_a_good_one_is_answered_in_its_place(written, statuses):
    """(D9)"""
    turns = {"good": call("print(3)", ""), "bad": UNREADABLE}
    turn = "\n".join(turns[name] for name in written.split())
    config = config_with({"enable": False}, multi_turn={"max_parallel_calls": 2})
    rolled = roll_out([turn, ANSWER], config=config)
    assert [c.status for c in rolled.record.tool_calls] == statuses.split()
    assert rolled.executed == ["print(3)"]
    assert rolled.text.count("<tool_response>") == 2


def test_a_marker_inside_a_program_opens_no_call():
    program = "print('<tool_call>')"
    rolled = roll_out([call(program), ANSWER])
    assert rolled.executed == [program]
    assert [c.status for c in rolled.record.tool_calls] == ["ok"]


def test_the_hint_stands_behind_the_last_failure_and_not_behind_a_success():
    config = config_with({"max_retries": 2}, multi_turn={"max_parallel_calls": 2})
    turn = two_calls(BAD, "print(3)")
    rolled = roll_out([turn, turn, turn, ANSWER], config=config)
    hint = SaarConfig().hint(("NameError",) * 3)
    assert hint is not None and rolled.text.count(hint.strip()) == 1
    assert rolled.text.index("Tool call failure") < rolled.text.index(hint.strip()) < rolled.text.index("success")


def test_the_errors_of_all_calls_are_fed_back_in_order():
    """(D11)"""
    config = config_with(multi_turn={"max_parallel_calls": 2})
    rolled = roll_out([two_calls(BAD, "bad_TypeError(2)"), call("print(3)"), ANSWER], config=config)
    shown = tokenizer().decode(rolled.server.prompts[1])
    assert 0 < shown.index("NameError at line") < shown.index("TypeError at line")


def test_an_infrastructure_error_is_never_learned_from():
    """(D7)"""
    rolled = roll_out([call("infra()")])
    assert rolled.counters["triggered"] == 0
    assert rolled.counters["infra_errors"] == 1
    assert set(rolled.output.response_mask) == {0}
    assert rolled.output.extra_fields["saar_masked"] is True
    assert rolled.record.masked
    assert rolled.record.tool_calls[0].status == "infra_error"


def test_an_infrastructure_error_in_a_retry_masks_too():
    """(D7)"""
    rolled = roll_out([call(BAD), call("infra_NameError(1)\nprint(n)")])
    assert set(rolled.output.response_mask) == {0}
    check_lengths(rolled)


def test_an_exception_inside_a_tool_is_not_the_models_failure():
    """(D7)"""

    def broken(code: str) -> ToolResult:
        raise OSError("no space left on device")

    rolled = roll_out([call("print(3)")], run=broken)
    assert rolled.record.tool_calls[0].status == "infra_error"
    assert "no space left on device" in rolled.record.tool_calls[0].text
    assert rolled.record.masked


def test_a_failing_program_that_prints_the_phrase_is_still_a_failure():
    """(D8)"""
    results = iter([failure("ValueError", stdout="Tool call success\nstdout: 3"), ToolResult(ToolStatus.OK, "3")])
    rolled = roll_out([call("print('x')"), call("print('y')"), ANSWER], run=lambda code: next(results))
    assert rolled.counters["first_successes"] == 0
    assert rolled.counters["triggered"] == 1


@pytest.mark.parametrize("turns_allowed", [2, 5])
def test_a_failing_call_at_the_last_but_one_turn_leaves_an_answer_turn(turns_allowed):
    """(D6)"""
    config = config_with(multi_turn={"max_assistant_turns": turns_allowed, "max_user_turns": turns_allowed})
    good = [call("print(3)")] * (turns_allowed - 2)
    rolled = roll_out([*good, call(BAD), call(FIXED), ANSWER], config=config)
    assert rolled.counters["recovered"] == 1
    assert rolled.text.endswith(ANSWER + "<|im_end|>")
    assert rolled.output.num_turns == 2 * turns_allowed


def test_a_call_in_the_last_turn_is_not_run():
    config = config_with(multi_turn={"max_assistant_turns": 2})
    rolled = roll_out([call("print(3)"), call("print(4)")], config=config)
    assert rolled.executed == ["print(3)"]
    assert rolled.output.num_turns == 4


def test_no_retry_when_too_few_tokens_are_left():
    """(D12)"""
    used = len(tokenizer().encode(call(BAD) + "<|im_end|>"))
    rolled = roll_out([call(BAD)], config=config_with(response_length=used + 10))
    assert rolled.counters["skipped_budget"] == 1
    assert rolled.counters["triggered"] == 0
    assert rolled.record.repairs == []
    assert len(rolled.output.response_ids) <= used + 10


def test_every_request_stays_within_the_response_and_the_context():
    """(D12)"""
    config = config_with(response_length=300, prompt_length=200)
    rolled = roll_out([call(BAD), call(FIXED), ANSWER], config=config)
    for prompt, budget in zip(rolled.server.prompts, rolled.server.budgets, strict=True):
        assert 0 < budget <= 300
        assert len(prompt) + budget <= 500
    assert rolled.server.budgets[0] == 300


@pytest.mark.parametrize("probability", [0.0, 1.0])
@pytest.mark.parametrize(("arm", "triggered"), [("off", 0), ("on", 1)])
def test_the_evaluation_arms_draw_no_coin(arm, triggered, probability):
    """(D17, D20)"""
    config = config_with({"enable": arm == "off", "probability": probability})
    turns = [call(BAD), call(FIXED), ANSWER]
    rolled = roll_out(turns, config=config, rollback=arm)
    assert rolled.counters["triggered"] == triggered
    assert rolled.record.arm == rolled.counters["arm"] == arm


def test_the_coin_of_training_is_the_same_in_every_run_and_names_the_arm():
    """(D17)"""
    config = config_with({"probability": 0.5})
    turns = [call(BAD), call(FIXED), ANSWER]
    draws = [[roll_out(turns, config=config, session_id=i).record.arm for i in range(12)] for _ in range(2)]
    assert draws[0] == draws[1]
    assert set(draws[0]) == {"on", "off"}


def test_a_row_without_an_id_is_known_by_its_content_and_never_by_verls_random_uid():
    """(D17)"""

    def name(uid: str, question: str) -> str:
        messages = [{"role": "system", "content": "Use Python."}, {"role": "user", "content": question}]
        row = {
            "uid": uid,
            "index": 0,
            "data_source": "d",
            "raw_prompt": messages,
            "reward_model": {"ground_truth": "3"},
        }
        return RolloutLog(row, decode=str, max_chars=100).sample_id

    assert name("a", "1 + 2?") == name("b", "1 + 2?") != name("a", "2 + 1?")


def test_the_output_is_cut_to_the_response_length_and_the_cut_is_counted():
    turn = tokenizer().encode(call(BAD, "A rather long old thought, word by word by word.\n") + "<|im_end|>")
    config = config_with({"min_budget_tokens": 1}, response_length=len(turn) + 1, prompt_length=1000)
    longer = BAD.replace("bad", "ok") + "\nprint(n, 0, 1, 2, 3, 4, 5)"
    rolled = roll_out(
        [call(BAD, "A rather long old thought, word by word by word.\n"), call(longer, "")], config=config
    )
    check_lengths(rolled)
    assert len(rolled.output.response_ids) <= len(turn) + 1


def test_turns_are_counted_as_messages():
    """(D16)"""
    turns = [call("print(3)"), call(BAD), call(FIXED), call("print(5)"), ANSWER]
    rolled = roll_out(turns)
    roles = rolled.text.count("<tool_response>") + 4 + 1
    assert rolled.output.num_turns == roles == 8


def test_versions_of_the_first_and_last_request_reach_the_trainer():
    fields = roll_out([call(BAD), call(FIXED), ANSWER]).output.extra_fields
    assert (fields["min_global_steps"], fields["max_global_steps"]) == (4, 6)


def test_the_record_says_everything_about_the_rollout():
    rolled = roll_out([call(BAD), call(FIXED), ANSWER])
    record = rolled.record
    assert (record.sample_id, record.rollout, record.step) == ("sample", 2, 5)
    assert record.ground_truth == "3"
    ids = [token for segment in record.segments for token in segment.token_ids]
    assert ids == rolled.output.prompt_ids + rolled.output.response_ids
    assert "".join(piece for s in record.segments for piece in s.pieces) == tokenizer().decode(ids)
    assert record.generated_tokens == sum(len(s) for s in rolled.server.sampled)
    assert record.discarded_tokens == record.generated_tokens - sum(rolled.output.response_mask)


def test_many_concurrent_rollouts_leave_no_tasks_or_descriptors():
    """(D35)"""

    async def hundred() -> tuple[int, int]:
        turns = [call(BAD), call(FIXED), ANSWER]
        await roll_out_async(turns)
        tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
        rolled = await asyncio.gather(*(roll_out_async(turns, session_id=i) for i in range(100)))
        assert all(r.counters["recovered"] == 1 for r in rolled)
        return len(asyncio.all_tasks()) - tasks, len(os.listdir("/proc/self/fd")) - files

    assert asyncio.run(hundred()) == (0, 0)
