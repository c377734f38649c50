"""veRL's naive reward manager plus the model's last turn as text, and DAPO's soft punishment of overlong responses.

veRL's own `dapo` manager does not hand the agent loop's fields to the reward function, so that the records of held-out
trajectories would be lost.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager

from cleartrace.rewards.final_turn import FINAL_TURN, final_turn_ids
from cleartrace.rewards.shaping import overlong_penalty
from cleartrace_verl.reward_options import option_problems
from verl import DataProto


class ShapedRewardManager(NaiveRewardManager):
    """Reads the same `reward.reward_kwargs` as veRL's `dapo`: `overlong_buffer_cfg` and `max_resp_len`.

    The reward function finds in `extra_info`, beside what veRL puts there, `final_turn`: what the model wrote after
    the last tool output, where the rollout has a record that says so. The penalty is added to the training reward;
    `score` and `acc` of the reward's extra fields stay the reward function's.
    """

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any, *args: Any, **kwargs: Any):
        super().__init__(config, tokenizer, compute_score, *args, **kwargs)
        if problem := next(option_problems(config), None):
            raise ValueError(problem)
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
        last: Any = data[-1:]
        graded = await parent.run_single(await asyncio.to_thread(self._with_final_turn, last))
        if self._penalty is None:
            return graded
        extra = graded["reward_extra_info"]
        penalty = 0.0 if extra.get("ungraded") else overlong_penalty(_response_tokens(data), **self._penalty)
        return {
            "reward_score": graded["reward_score"] + penalty,
            "reward_extra_info": {**extra, "overlong_penalty": penalty},
        }

    def _with_final_turn(self, data: DataProto) -> DataProto:
        """The row with the text of the last turn among the fields that veRL hands on."""
        given = data.non_tensor_batch.get("tool_extra_fields")
        fields = dict(given[0]) if given is not None and given[0] else {}
        if not fields.get("trajectory"):
            return data
        response = data.batch["responses"][0][: _response_tokens(data)].tolist()
        ids = final_turn_ids(fields["trajectory"], response)
        fields[FINAL_TURN] = self.tokenizer.decode(ids, skip_special_tokens=True)  # pyright: ignore[reportAttributeAccessIssue]
        wrapped = np.empty(1, dtype=object)
        wrapped[0] = fields
        rows = {**data.non_tensor_batch, "tool_extra_fields": wrapped}
        return DataProto(batch=data.batch, non_tensor_batch=rows, meta_info=data.meta_info)


def _response_tokens(data: DataProto) -> int:
    """Tokens of the last sequence's response, tool output included."""
    last = data[-1:]
    width = last.batch["responses"].shape[-1]
    return int(last.batch["attention_mask"][0, -width:].sum())
