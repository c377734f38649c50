"""The reward function veRL loads (`reward.custom_reward_function`): grades, and carries the rollout's record along."""

from __future__ import annotations

from typing import Any

from cleartrace.rewards.score import compute_score as grade


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, **options: Any
) -> dict[str, Any]:
    """`cleartrace.rewards.compute_score` plus `trajectory` (JSON) and `saar_masked`.

    veRL's validation keeps nothing of a rollout but what its reward returned, so the record travels here.
    """
    info = extra_info or {}
    graded = grade(data_source, solution_str, ground_truth, info, **options)
    return {**graded, "trajectory": info.get("trajectory", ""), "saar_masked": bool(info.get("saar_masked", False))}
