"""A veRL platform for machines without an accelerator.

veRL asks its platform for everything device-specific. On a CPU almost all of it is a no-op; what matters is
that tensors stay on "cpu", collectives use gloo, and Ray schedules on the logical resource "GPU" (the trainer
counts only GPU and NPU), which `ray_kwargs.ray_init.num_gpus` provides.
"""

from __future__ import annotations

import os
import platform as host
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import psutil
import torch
from verl.plugin.platform.platform_base import PlatformBase
from verl.plugin.platform.platform_manager import PlatformRegistry, get_platform, set_platform


class CpuDeviceModule(ModuleType):
    """Stands where veRL expects `torch.cuda`: `torch.cpu` has no memory statistics."""

    def __init__(self) -> None:
        super().__init__("cleartrace_cpu_device")

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> str:
        return "cpu"

    def set_device(self, device: Any) -> None:
        del device

    def synchronize(self, device: Any = None) -> None:
        del device

    def empty_cache(self) -> None:
        """There is no caching allocator to empty."""

    def memory_allocated(self, device: Any = None) -> int:
        """Resident bytes of this process."""
        del device
        return psutil.Process().memory_info().rss

    memory_reserved = memory_allocated
    max_memory_allocated = memory_allocated
    max_memory_reserved = memory_allocated

    def reset_peak_memory_stats(self, device: Any = None) -> None:
        del device

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        """Free and total bytes of the host."""
        del device
        memory = psutil.virtual_memory()
        return memory.available, memory.total

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        del device
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        del device
        torch.set_rng_state(state)

    def get_device_name(self, device: Any = None) -> str:
        """ "cpu": veRL's FLOPs counter then reports no utilisation instead of a wrong one."""
        del device
        return "cpu"


@PlatformRegistry.register(platform="cpu")
class PlatformCpu(PlatformBase):
    """Every machine has one, so it is chosen only when no accelerator answers first, or by `VERL_PLATFORM=cpu`."""

    _module = CpuDeviceModule()

    @property
    def device_name(self) -> str:
        return "cpu"

    @property
    def vendor_name(self) -> str:
        return "cpu"

    @property
    def device_module(self) -> ModuleType:
        return self._module

    def is_available(self) -> bool:
        return True

    def current_device(self) -> Any:
        """The string "cpu": veRL hands it to `.to()`, where an integer would mean an accelerator index."""
        return "cpu"

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        del device_index

    def synchronize(self, device_index: int | None = None) -> None:
        del device_index

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def set_allocator_settings(self, settings: str) -> None:
        del settings

    def empty_cache(self) -> None:
        """There is no caching allocator to empty."""

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        del device_index
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        del msg
        yield

    def profiler_start(self) -> None:
        """There is no device profiler."""

    def profiler_stop(self) -> None:
        """There is no device profiler."""

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False

    def cudart(self) -> Any:
        return None

    def get_device_uuid(self, device_id: int) -> str:
        return f"{host.node()}-cpu-{device_id}"


def choose_cpu() -> None:
    """Use this platform here and in all processes started from here, also where a GPU is visible."""
    os.environ["VERL_PLATFORM"] = "cpu"
    if not isinstance(get_platform(), PlatformCpu):
        set_platform(PlatformCpu())
