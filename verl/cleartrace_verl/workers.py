"""veRL's training workers, able to run on gloo alone."""

from __future__ import annotations

import os
from typing import Any

import torch.distributed
from verl.utils.device import get_device_name
from verl.utils.distributed import initialize_global_process_group_ray
from verl.workers.engine import EngineRegistry, FSDPEngineWithLMHead
from verl.workers.engine_workers import ActorRolloutRefWorker, TrainingWorker

from cleartrace_verl import packed_attention

# FSDP2 runs on gloo; veRL lists it for "cuda" and "npu" only.
EngineRegistry.register(model_type="language_model", backend=["fsdp2"], device="cpu")(FSDPEngineWithLMHead)
packed_attention.register()


class CpuTrainingWorker(TrainingWorker):
    """Opens the process group before veRL does.

    veRL would ask for the backend "cpu:gloo,cpu:gloo", which torch refuses; it leaves an open group alone.
    """

    def __init__(self, config: Any):
        if get_device_name() == "cpu":
            if not torch.distributed.is_initialized():
                initialize_global_process_group_ray(timeout_second=None, backend="cpu:gloo")
            # Ray starts its workers with one thread. Nothing else computes while the actor does.
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // torch.distributed.get_world_size()))
        super().__init__(config)


class CpuActorRolloutRefWorker(ActorRolloutRefWorker):
    """The hybrid worker over `CpuTrainingWorker`."""

    actor_worker_cls = CpuTrainingWorker
    ref_worker_cls = CpuTrainingWorker
