"""The reward manager with a real veRL batch: the rollout's fields arrive, overlong responses are punished."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl.trainer.ppo.reward import load_reward_manager

from cleartrace_verl import preflight
from tests.verl.rollouts import config_with, tokenizer
from verl import DataProto

OVERLONG = {"overlong_buffer_cfg": {"enable": True, "len": 20, "penalty_factor": 0.5}, "max_resp_len": 40}
ANSWER = "Answer: \\boxed{3}"


def config(**reward: Any) -> Any:
    made = config_with()
    OmegaConf.update(made, "reward", reward, force_add=True)
    return made


def grade(made: Any, *, tokens: int, truth: str = "3") -> dict[str, Any]:
    """Grade a response of `tokens` tokens that ends with the right answer."""
    ids = tokenizer().encode(ANSWER, add_special_tokens=False)
    ids = tokenizer().encode("a", add_special_tokens=False) * (tokens - len(ids)) + ids
    response = torch.tensor([ids + [0] * 4])
    mask = torch.tensor([[1] * 3 + [1] * len(ids) + [0] * 4])
    batch = TensorDict({"responses": response, "attention_mask": mask}, batch_size=[1])
    rows = {
        "data_source": "cleartrace_tasks",
        "reward_model": {"ground_truth": truth},
        "extra_info": {"sample_id": "s"},
        "tool_extra_fields": {"trajectory": "{}", "saar_masked": False},
    }
    data = DataProto(batch=batch, non_tensor_batch={k: np.array([v], dtype=object) for k, v in rows.items()})

    async def run() -> dict[str, Any]:
        return await load_reward_manager(made, tokenizer()).run_single(data)

    return asyncio.run(run())


def test_without_a_buffer_the_score_is_the_graders():
    graded = grade(config(), tokens=39)
    assert graded["reward_score"] == 1.0
    assert graded["reward_extra_info"]["trajectory"] == "{}", "the record of the rollout is lost"
    assert "overlong_penalty" not in graded["reward_extra_info"]


@pytest.mark.parametrize(("tokens", "penalty"), [(20, 0.0), (30, -0.25), (40, -0.5)])
def test_an_overlong_response_is_punished_and_stays_right(tokens, penalty):
    graded = grade(config(reward_kwargs=OVERLONG), tokens=tokens)
    assert graded["reward_score"] == pytest.approx(1.0 + penalty)
    extra = graded["reward_extra_info"]
    assert (extra["overlong_penalty"], extra["score"], extra["acc"]) == (pytest.approx(penalty), 1.0, True)
    assert extra["trajectory"] == "{}", "the record of the rollout is lost"


def test_a_manager_that_loses_the_records_is_refused():
    found = preflight.problems(config(reward_manager={"source": "register", "name": "dapo"}))
    assert any("reward_manager.name=dapo" in problem for problem in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({**OVERLONG, "max_resp_len": None}, "reward_kwargs.max_resp_len is needed"),
        ({**OVERLONG, "overlong_buffer_cfg": {"enable": True}}, "lacks len, penalty_factor"),
    ],
)
def test_missing_options_of_the_penalty_are_named(options, message):
    assert any(message in problem for problem in preflight.problems(config(reward_kwargs=options)))
