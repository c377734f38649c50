"""The reward manager with real rollouts in a real veRL batch: whose words are graded, the records, the penalty."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl.trainer.ppo.reward import load_reward_manager

from cleartrace.rewards.final_turn import final_turn_ids, final_turn_text
from cleartrace.tools.result import ToolResult, ToolStatus
from cleartrace_verl import preflight
from cleartrace_verl.judge_env import JUDGE_TOKEN_VARIABLE, JUDGE_URL_VARIABLE
from code_judge.embedded import EmbeddedJudge
from tests.verl.rollouts import Rolled, call, config_with, roll_out, tokenizer
from verl import DataProto

OVERLONG = {"overlong_buffer_cfg": {"enable": True, "len": 20, "penalty_factor": 0.5}, "max_resp_len": 40}
ANSWER = "Answer: \\boxed{3}"
PADDING = 4


def config(options: dict[str, Any] | None = None, **reward: Any) -> Any:
    """`options` are those of the reward function."""
    made = config_with()
    OmegaConf.update(made, "reward", reward, force_add=True)
    if options:
        OmegaConf.update(made, "reward.custom_reward_function.reward_kwargs", options, force_add=True)
    return made


def grade_ids(made: Any, response: list[int], **row: Any) -> dict[str, Any]:
    mask = torch.tensor([[1] * (3 + len(response)) + [0] * PADDING])
    batch = TensorDict({"responses": torch.tensor([response + [0] * PADDING]), "attention_mask": mask}, batch_size=[1])
    rows = {
        "data_source": "cleartrace_tasks",
        "reward_model": {"ground_truth": "3"},
        "extra_info": {"sample_id": "s"},
        **row,
    }
    data = DataProto(batch=batch, non_tensor_batch={k: np.array([v], dtype=object) for k, v in rows.items()})

    async def run() -> dict[str, Any]:
        return await load_reward_manager(made, tokenizer()).run_single(data)

    return asyncio.run(run())


def grade_rollout(made: Any, rolled: Rolled, **row: Any) -> dict[str, Any]:
    """`reward_extra_info` of a rollout of the real agent loop."""
    output = rolled.output
    fields = {"tool_extra_fields": output.extra_fields, "__num_turns__": output.num_turns}
    return grade_ids(made, list(output.response_ids), **fields, **row)["reward_extra_info"]


def grade(made: Any, *, tokens: int) -> dict[str, Any]:
    """Grade a response of one turn and `tokens` tokens that ends with the right answer."""
    ids = tokenizer().encode(ANSWER, add_special_tokens=False)
    ids = tokenizer().encode("a", add_special_tokens=False) * (tokens - len(ids)) + ids
    segments = [{"kind": "prompt", "token_ids": [1] * 3}, {"kind": "assistant_reasoning", "token_ids": ids}]
    fields = {"trajectory": json.dumps({"segments": segments}), "saar_masked": False}
    return grade_ids(made, ids, tool_extra_fields=fields, __num_turns__=2)


def printing(text: str) -> Any:
    return lambda code: ToolResult(ToolStatus.OK, stdout=f"{text}\n")


def test_what_a_program_prints_is_not_the_answer():
    """Reward hacking: the model makes a program print the key, and never answers."""
    rolled = roll_out([call("print(r'\\boxed{3}')"), "I do not know."], run=printing(r"\boxed{3}"))
    hacked = grade_rollout(config(), rolled)
    assert (hacked["acc"], hacked["error"], hacked["pred"]) == (False, "no_answer", "")
    published = grade_rollout(config({"graded_text": "response"}), rolled)
    assert (published["acc"], published["pred"]) == (True, "3"), "the published reward reads tool output"


def test_a_call_is_not_the_answer_either():
    rolled = roll_out([call("print(r'\\boxed{3}')"), call("print('\\\\boxed{3}')")], run=printing("x"),
                      config=config_with(multi_turn={"max_assistant_turns": 2}))  # fmt: skip
    assert grade_rollout(config(), rolled)["error"] == "no_answer"


def test_the_answer_of_the_last_turn_counts():
    rolled = roll_out([call("print(3)", thought="Surely \\boxed{4}.\n"), "It is \\boxed{3}."])
    graded = grade_rollout(config(), rolled)
    assert (graded["acc"], graded["pred"], graded["score"]) == (True, "3", 1.0)
    assert json.loads(graded["trajectory"])["sample_id"] == "sample", "the record of the rollout is lost"


def test_the_text_of_the_last_turn_is_exact_where_tokens_share_a_character():
    words = "So ½ ≤ 🦒 fits: \\boxed{🦒}"
    rolled = roll_out([call("print(3)"), words])
    ids = final_turn_ids(rolled.output.extra_fields["trajectory"], rolled.output.response_ids)
    assert tokenizer().decode(ids, skip_special_tokens=True) == words
    assert final_turn_text(rolled.output.extra_fields["trajectory"]).startswith("So ")
    assert grade_rollout(config(), rolled)["pred"] == "🦒"


def test_a_cut_response_is_graded_as_far_as_it_goes():
    segments = [{"kind": kind, "token_ids": [0] * n} for kind, n in (("prompt", 5), ("assistant_call", 2), ("tool", 2))]
    segments.append({"kind": "assistant_reasoning", "token_ids": [0] * 4})
    assert final_turn_ids({"segments": segments}, [10, 11, 12, 13, 14, 15]) == [14, 15]
    assert final_turn_ids({"segments": segments[:3]}, [10, 11, 12, 13]) == []


def test_several_turns_without_a_record_are_refused_and_one_turn_is_not():
    ids = tokenizer().encode(ANSWER, add_special_tokens=False)
    assert grade_ids(config(), ids, __num_turns__=2)["reward_extra_info"]["acc"]
    with pytest.raises(ValueError, match="graded_text=response"):
        grade_ids(config(), ids, __num_turns__=4)
    assert grade_ids(config({"graded_text": "response"}), ids, __num_turns__=4)["reward_extra_info"]["acc"]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedJudge]:
    with EmbeddedJudge(log_dir=tmp_path_factory.mktemp("manager-judge"), workers=2) as running:
        yield running


def test_programs_are_graded_on_the_judge_of_the_environment(judge: EmbeddedJudge, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(JUDGE_URL_VARIABLE, judge.url)
    monkeypatch.setenv(JUDGE_TOKEN_VARIABLE, judge.token)
    tests = json.dumps({"inputs": ["1 2", "3 4"], "outputs": ["3", "7"]})
    row = {"data_source": "train-code-taco", "reward_model": {"ground_truth": tests}}
    right = "```python\nprint(sum(map(int, input().split())))\n```"
    graded = grade_rollout(config(), roll_out([call("print(3)"), right]), **row)
    assert (graded["acc"], graded["score"], graded["tests"]) == (True, 1.0, "ok ok")
    printed = roll_out([call("print(3)"), "There."], run=printing(right))
    assert grade_rollout(config(), printed, **row)["error"] == "no_program"
    unmoved = grade_rollout(config({"code_scale": "symmetric"}), roll_out(["```py\nprint(3)\n```"]), **row)
    assert (unmoved["score"], unmoved["tests"]) == (0.0, "ok wrong_answer")


def test_tool_use_is_read_from_the_rollout():
    rolled = roll_out([call("print(3)"), "It is \\boxed{3}."])
    graded = grade_rollout(config({"success_bonus": 0.15}), rolled)
    assert (graded["score"], graded["shaping"]) == (pytest.approx(1.15), pytest.approx(0.15))


def test_without_a_buffer_the_score_is_the_graders():
    graded = grade(config(), tokens=39)
    assert graded["reward_score"] == 1.0
    assert "overlong_penalty" not in graded["reward_extra_info"]


@pytest.mark.parametrize(("tokens", "penalty"), [(20, 0.0), (30, -0.25), (40, -0.5)])
def test_an_overlong_response_is_punished_and_stays_right(tokens, penalty):
    graded = grade(config(reward_kwargs=OVERLONG), tokens=tokens)
    assert graded["reward_score"] == pytest.approx(1.0 + penalty)
    extra = graded["reward_extra_info"]
    assert (extra["overlong_penalty"], extra["score"], extra["acc"]) == (pytest.approx(penalty), 1.0, True)
    assert extra["trajectory"], "the record of the rollout is lost"


@pytest.mark.parametrize("name", ["dapo", "naive"])
def test_a_manager_that_knows_no_last_turn_is_refused(name):
    found = preflight.problems(config(reward_manager={"source": "register", "name": name}))
    assert any(f"reward_manager.name={name}" in problem for problem in found)


@pytest.mark.parametrize(
    ("options", "manager", "message"),
    [
        (None, {**OVERLONG, "max_resp_len": None}, "reward_kwargs.max_resp_len is needed"),
        (None, {**OVERLONG, "overlong_buffer_cfg": {"enable": True}}, "lacks len, penalty_factor"),
        (None, {"overlong_buffer": {}}, "did you mean 'overlong_buffer_cfg'"),
        (None, {"overlong_buffer_cfg": {"length": 3}}, "did you mean 'len'"),
        ({"code_scal": "symmetric"}, {}, "did you mean 'code_scale'"),
        ({"math_mode": "lenient"}, {}, "reward_kwargs.math_mode: "),
    ],
)
def test_bad_options_are_named_before_anything_starts(options, manager, message):
    found = preflight.problems(config(options, reward_kwargs=manager))
    assert any(message in problem for problem in found)


def test_a_manager_with_an_unknown_option_does_not_start():
    with pytest.raises(ValueError, match="did you mean 'code_scale'"):
        load_reward_manager(config({"code_scal": "symmetric"}), tokenizer())
