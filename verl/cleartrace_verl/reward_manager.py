"""veRL's naive reward manager plus DAPO's soft punishment of overlong responses.

veRL's own `dapo` manager does not hand the agent loop's fields to the reward function, so that the records of held-out
trajectories would be lost.
"""

from __future__ import annotations

from typing import Any

from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager

from cleartrace.rewards.shaping import overlong_penalty
from verl import DataProto


class ShapedRewardManager(NaiveRewardManager):
    """Reads the same `reward.reward_kwargs` as veRL's `dapo`: `overlong_buffer_cfg` and `max_resp_len`.

    The penalty is added to the training reward; `score` and `acc` of the reward's extra fields stay the grader's.
    """

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any, *args: Any, **kwargs: Any):
        super().__init__(config, tokenizer, compute_score, *args, **kwargs)
        options = config.reward.get("reward_kwargs") or {}
        buffer = options.get("overlong_buffer_cfg") or {}
        self._penalty: dict[str, Any] | None = None
        if buffer.get("enable"):
            self._penalty = {
                "max_response_tokens": options["max_resp_len"],
                "buffer_tokens": buffer["len"],
                "factor": buffer["penalty_factor"],
            }
            overlong_penalty(0, **self._penalty)  # refuses a buffer that does not fit before the first rollout

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Grade one rollout; an ungraded one is not punished, because it must not be learned from."""
        parent: Any = super()  # veRL's registration decorator types the parent as its abstract base
        graded = await parent.run_single(data)
        if self._penalty is None:
            return graded
        extra = graded["reward_extra_info"]
        penalty = 0.0 if extra.get("ungraded") else overlong_penalty(_response_tokens(data), **self._penalty)
        return {
            "reward_score": graded["reward_score"] + penalty,
            "reward_extra_info": {**extra, "overlong_penalty": penalty},
        }


def _response_tokens(data: DataProto) -> int:
    """Tokens of the last sequence's response, tool output included."""
    last = data[-1:]
    width = last.batch["responses"].shape[-1]
    return int(last.batch["attention_mask"][0, -width:].sum())
