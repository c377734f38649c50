"""What a configuration needs that this machine lacks."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from omegaconf import DictConfig

ENGINE_PACKAGES = {"sglang": "sglang", "vllm": "vllm"}


def missing_for(config: DictConfig) -> list[str]:
    """One sentence per missing thing, with what to do."""
    return [*_engine(config), *missing_gpus(config)]


def _engine(config: DictConfig) -> Iterator[str]:
    name = config.actor_rollout_ref.rollout.name
    package = ENGINE_PACKAGES.get(name)
    if package and importlib.util.find_spec(package) is None:
        yield f"rollout engine {name}: install docker/trainer/requirements-{name}.txt as docs/cluster.md says."


def missing_gpus(config: DictConfig) -> Iterator[str]:
    """A sentence when there are fewer GPUs here than configured."""
    import torch

    if config.trainer.device == "cpu":
        return
    wanted = config.trainer.n_gpus_per_node
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < wanted:
        yield f"{wanted} GPU(s) per node are configured, {found} found: run there, or set trainer.n_gpus_per_node."
