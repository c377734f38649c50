"""The reward function veRL loads (`reward.custom_reward_function`): grades, and carries the rollout's record along."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from cleartrace.rewards.final_turn import answer_text
from cleartrace.rewards.judge import AsyncJudge, pooled_judge
from cleartrace.rewards.options import GradedText, RewardOptions
from cleartrace.rewards.score import compute_score_async
from cleartrace_verl.guidance import SOURCE as GUIDANCE
from cleartrace_verl.guidance import score_guidance
from cleartrace_verl.judge_env import JUDGE_TOKEN_VARIABLE, JUDGE_URL_VARIABLE


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: dict[str, Any] | None = None,
    *,
    reward_router_address: Any = None,
    reward_model_tokenizer: Any = None,
    **options: Any,
) -> dict[str, Any]:
    """`cleartrace.rewards.score.compute_score` on the model's last turn, plus `trajectory` (JSON) and `saar_masked`.

    `solution_str` is the whole response; of it only what the model wrote after the last tool output is graded, unless
    the option `graded_text` is `response`. Programs run on the judge of the environment, and guidance of CLEAR goes to
    the reward service that the environment names. veRL's validation keeps
    nothing of a rollout but what its reward returned, so the record travels here.
    """
    del reward_router_address, reward_model_tokenizer
    info = extra_info or {}
    plain: dict[str, Any] = {
        name: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value for name, value in options.items()
    }
    read = RewardOptions.model_validate(plain)
    text = solution_str if read.graded_text is GradedText.RESPONSE else answer_text(solution_str, info)
    graded: Mapping[str, Any]
    if data_source == GUIDANCE:
        graded = await score_guidance(text, ground_truth, info, read.guidance_deadline_s)
    else:
        judge = _judge(read.code_at_once)
        graded = await compute_score_async(data_source, text, ground_truth, info, judge=judge, **plain)
    return {**graded, "trajectory": info.get("trajectory", ""), "saar_masked": bool(info.get("saar_masked", False))}


def _judge(at_once: int) -> AsyncJudge | None:
    url = os.environ.get(JUDGE_URL_VARIABLE)
    return pooled_judge(url, os.environ.get(JUDGE_TOKEN_VARIABLE), at_once) if url else None
