"""veRL's reward contract, for a plain veRL without cleartrace's trainer.

reward.custom_reward_function.path=<this file> reward.custom_reward_function.name=compute_score, and the service with
`--seed-pool 1`: a plain veRL does not say which step it is in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from cleartrace.learn.clear.reward.client import DEADLINE_S, RewardClient, ask_of, service_address


class Ungraded(RuntimeError):
    """No score, through no fault of the model. veRL then drops the rollout; a 0 would be learned from."""


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    **more: Any,
) -> float:
    """The reward of one guidance.

    Args:
        data_source: not read.
        solution_str: what the context augmentation model wrote.
        ground_truth: the task as JSON.
        extra_info: `split`, and `global_step` where the caller knows it.
        more: `deadline_s`; whatever else veRL passes is not read.

    Raises:
        Ungraded, Misconfigured, ServiceMissing.
    """
    del data_source
    info = extra_info or {}
    ask = ask_of(solution_str, ground_truth, info, info.get("global_step"))

    async def grade() -> Any:
        client = RewardClient(*service_address(), deadline_s=float(more.get("deadline_s", DEADLINE_S)))
        try:
            return await client.grade(ask)
        finally:
            await client.close()

    graded = asyncio.run(grade())
    if graded.ungraded:
        raise Ungraded(f"{ask.task.id}: {graded.error}")
    return graded.reward
