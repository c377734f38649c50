"""Runs beside the trainer: one Ray actor that generates tokens with the embedded engine."""

from __future__ import annotations

from typing import Any

import ray
import torch
from verl.workers.rollout.replica import RolloutReplica, TokenOutput


def server_name(replica_rank: int) -> str:
    """Name of the Ray actor that serves replica `replica_rank`."""
    return f"cleartrace_embedded_server_{replica_rank}"


class EmbeddedServer:
    """The methods veRL calls on a rollout server, over `AsyncEngine`."""

    def __init__(self, model_path: str, settings: dict[str, Any], limits: dict[str, int]):
        # The engine pulls in transformers, which the driver process does not need.
        from cleartrace_verl.engine import AsyncEngine, EngineConfig, load_engine

        engine = load_engine(model_path, EngineConfig(**settings))
        self._engine = AsyncEngine(engine)
        self._sees_images = engine.sees_images
        self._limits = limits

    async def generate(
        self,
        request_id: str,
        prompt_ids: list[int],
        sampling_params: dict[str, Any],
        image_data: Any = None,
        video_data: Any = None,
        mm_processor_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> TokenOutput:
        """Sample one continuation of `prompt_ids`; `log_probs[i]` belongs to `token_ids[i]`.

        With `prompt_logprobs: 0` the prompt is scored instead, and nothing sampled: `extra_fields["prompt_logprobs"]`
        has a row of one value per position, row i for token i + 1 and a filler at the end, as vLLM's adapter gives it.
        """
        from cleartrace_verl.engine import Sampling

        if video_data or (image_data and not self._sees_images):
            raise ValueError(
                "The embedded rollout serves images to Qwen2.5-VL and Qwen3-VL only, and no video; use SGLang or vLLM."
            )
        if sampling_params.get("prompt_logprobs") is not None:
            return await self._score(prompt_ids, sampling_params)
        room = self._limits["prompt_length"] + self._limits["response_length"] - len(prompt_ids)
        default = max(min(self._limits["response_length"], room), 0)
        params = {"max_tokens": default, "ignore_eos": bool(self._limits["ignore_eos"]), **sampling_params}
        images = {"images": image_data, "processor_options": mm_processor_kwargs} if image_data else {}
        done = await self._engine.generate(prompt_ids, Sampling.from_dict(params), request_id, **images)
        return TokenOutput(
            token_ids=list(done.token_ids),
            log_probs=list(done.log_probs),
            stop_reason=done.stop_reason.value,
            num_preempted=0,
            extra_fields={"global_steps": done.weights_version, "num_cached_tokens": done.num_cached_tokens},
        )

    async def _score(self, prompt_ids: list[int], sampling_params: dict[str, Any]) -> TokenOutput:
        if sampling_params["prompt_logprobs"] != 0:
            raise ValueError("The embedded rollout scores the prompt's own tokens only: use prompt_logprobs=0.")
        values = await self._engine.score(prompt_ids[:1], prompt_ids[1:], sampling_params.get("temperature", 1.0))
        rows = [[value] for value in (*values, 0.0)]
        return TokenOutput(token_ids=[], log_probs=[], stop_reason="completed", extra_fields={"prompt_logprobs": rows})

    async def load_weights(self, named: list[tuple[str, torch.Tensor]], global_steps: int) -> None:
        await self._engine.update_weights(named, version=global_steps)

    async def sleep(self) -> None:
        await self._engine.clear_kv()

    clear_kv_cache = sleep
    release_kv_cache = sleep

    async def wake_up(self) -> None:
        """Weights stay in memory while asleep: nothing to load."""

    resume_kv_cache = wake_up

    async def abort_all_requests(self, reject_request: bool = False) -> None:
        from cleartrace_verl.engine import Gate

        await self._engine.abort_all(Gate.REJECT if reject_request else Gate.HOLD)

    async def resume_generation(self) -> None:
        await self._engine.resume()

    async def start_profile(self, **kwargs: Any) -> None:
        """There is no engine-side profiler."""

    async def stop_profile(self) -> None:
        """There is no engine-side profiler."""


class EmbeddedReplica(RolloutReplica):
    """One embedded server per rollout replica, on the trainer's machine.

    `rollout.engine_kwargs.embedded` sets fields of `cleartrace_verl.engine.EngineConfig` directly.
    """

    async def launch_servers(self) -> None:
        if self.is_reward_model or self.is_teacher_model:
            raise ValueError("The embedded rollout serves the policy only, not reward or teacher models.")
        name = server_name(self.replica_rank)
        rollout = self.config
        settings = {
            "max_context": rollout.max_model_len or rollout.prompt_length + rollout.response_length,
            "max_slots": min(rollout.max_num_seqs, 64),
            "dtype": rollout.dtype,
            "seed": rollout.seed + self.replica_rank,
            **rollout.engine_kwargs.get("embedded", {}),
        }
        limits = {
            "prompt_length": rollout.prompt_length,
            "response_length": rollout.response_length,
            "ignore_eos": int(rollout.ignore_eos),
        }
        server: Any = (
            ray.remote(EmbeddedServer)
            .options(name=name, num_cpus=0, max_concurrency=self.max_concurrency)
            .remote(self.model_config.path, settings, limits)
        )
        self.servers = [server]
        self._server_handle = server
        self._server_address = name
        # A failed start shows here, at once, and not at the first request.
        await server.wake_up.remote()
