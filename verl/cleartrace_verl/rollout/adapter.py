"""Runs in the training worker: hands fresh weights to the embedded server of its replica."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import ray
import torch
from verl.workers.rollout.base import BaseRollout

from cleartrace_verl.rollout.replica import server_name


class EmbeddedRollout(BaseRollout):
    """Weights go to the server through Ray's object store; generation never passes here."""

    # veRL sets this to 1 for LoRA adapters it syncs unmerged, which the server does not load.
    sleep_level = 2

    def __init__(self, config: Any, model_config: Any, device_mesh: Any):
        super().__init__(config, model_config, device_mesh)
        world = self.config.tensor_model_parallel_size * self.config.data_parallel_size
        self._replica_rank, local_rank = divmod(int(os.environ.get("RANK", 0)), world)
        self._is_leader = local_rank == 0
        self._server: Any = None

    def _get_server(self) -> Any:
        # The server starts after this worker, so it is looked up at the first sync.
        if self._server is None:
            self._server = ray.get_actor(server_name(self._replica_rank))
        return self._server

    async def resume(self, tags: list[str]) -> None:
        if "kv_cache" in tags and self._is_leader:
            await self._get_server().resume_generation.remote()

    async def release(self) -> None:
        if self._is_leader:
            await self._get_server().sleep.remote()

    async def update_weights(
        self,
        weights: Generator[tuple[str, torch.Tensor], None, None],
        wire_format: str = "named_tensors",
        *,
        peft_config: Any = None,
        base_sync_done: bool = True,
        global_steps: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Send every tensor under its Hugging Face name.

        Raises ValueError for formats the server cannot load: delta flushes, and LoRA weights that are not merged
        (a server that ignored them would go on sampling from the base model).
        """
        del base_sync_done, kwargs
        if wire_format != "named_tensors":
            raise ValueError(f"The embedded rollout loads 'named_tensors', not {wire_format!r}.")
        if peft_config is not None:
            raise ValueError(
                "The embedded rollout needs merged LoRA weights: set actor_rollout_ref.model.lora.merge=True."
            )
        # Gathering full tensors is collective: every rank has to exhaust the generator, also when it sends nothing.
        named = [(name, tensor.detach().cpu()) for name, tensor in weights]
        if self._is_leader:
            await self._get_server().load_weights.remote(named, global_steps or 0)
