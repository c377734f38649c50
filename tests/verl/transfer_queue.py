"""A real TransferQueue on a small Ray cluster of its own, and rows put into it by veRL's own worker code."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import ray
import transfer_queue as tq
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopWorkerTQ
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

Worker: Any = AgentLoopWorkerTQ.__ray_metadata__.modified_class  # type: ignore[attr-defined]


@contextmanager
def queue() -> Iterator[None]:
    """TransferQueue with one storage process."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    try:
        tq.init(OmegaConf.create({"backend": {"SimpleStorage": {"num_data_storage_units": 1}}}))
        yield
        tq.close()
    finally:
        ray.shutdown()


class Scored(Worker):
    """veRL's worker without its processes: rewards are given, the rest is its own code."""

    def __init__(self, rewards: dict[int, float]):
        self.rewards = rewards
        self.processor = None
        self.distillation_enabled = False

    async def _compute_score(self, outputs: list[AgentLoopOutput], kwargs: dict) -> None:
        outputs[-1].reward_score = self.rewards[kwargs["session_id"]]
        acc = self.rewards[kwargs["session_id"]] > 0
        graded = {"acc": acc, "score": outputs[-1].reward_score, "ungraded": kwargs.get("ungraded", False)}
        outputs[-1].extra_fields["reward_extra_info"] = graded

    async def _compute_teacher_logprobs(self, *args: Any, **kwargs: Any) -> None:
        """No teacher, as without distillation."""


def deliver(uid: str, sessions: Sequence[Any], rewards: Sequence[float], **fields: Any) -> None:
    """Put the outputs of each rollout of one prompt, and the prompt's status, as veRL does."""
    worker = Scored(dict(enumerate(rewards)))

    async def put() -> None:
        for session, output in enumerate(sessions):
            row = {"uid": uid, "session_id": session, "global_steps": 1, **fields}
            await worker._agent_loop_postprocess(output, False, **row)

    asyncio.run(put())
    tq.kv_put(key=uid, partition_id="train", tag={"is_prompt": True, "status": "finished", "global_steps": 1})


def sample(prompts: int) -> KVBatchMeta:
    """The batch veRL's replay buffer makes of what was delivered."""
    buffer = ReplayBuffer(
        trainer_mode="sync",
        trainer_config=OmegaConf.create({}),
        max_off_policy_threshold=None,
        max_off_policy_strategy="drop",
        sampler_kwargs=OmegaConf.create({}),
        poll_interval=0.01,
    )
    batch, _ = buffer.sample(global_steps=1, partition_id="train", batch_size=prompts)
    return batch


WORKERS = SimpleNamespace(_dispatch_info={"actor": [0]})
"""What the trainer asks of its worker group to balance a batch: one data-parallel rank."""
