"""KV memory of the running sequences: one preallocated tensor, one row per slot."""

from __future__ import annotations

import numpy as np
import torch

from .architecture import Architecture


class SlotCache:
    """Keys and values `[layers, 2, slots, kv_heads, context, head_dim]`, written in place.

    It protects nothing: a slot's content beyond the length its owner tracks is stale and must be masked.
    """

    def __init__(self, arch: Architecture, slots: int, context: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (arch.layers, 2, slots, arch.kv_heads, context, arch.head_dim)
        self.data = _zeros(shape, dtype, device)
        self.keys = [layer[0] for layer in self.data]
        self.values = [layer[1] for layer in self.data]

    def read(self, slot: int, length: int) -> torch.Tensor:
        """A copy `[layers, 2, kv_heads, length, head_dim]` of a slot's first `length` tokens."""
        return self.data[:, :, slot, :, :length].clone(memory_format=torch.contiguous_format)

    def write(self, slot: int, kv: torch.Tensor, length: int) -> None:
        """Put the first `length` tokens of `kv` (as `read` gives it) at the start of a slot."""
        self.data[:, :, slot, :, :length].copy_(kv[:, :, :, :length])

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one slot to another."""
        self.data[:, :, target, :, :length].copy_(self.data[:, :, source, :, :length])


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # numpy zeroes lazily: pages that no sequence reaches never become resident, while torch.zeros touches them all.
    # Zeroes are needed because masked attention still multiplies what it masks, and 0 * NaN is NaN.
    count = int(np.prod(shape)) * dtype.itemsize
    return torch.from_numpy(np.zeros(count, dtype=np.uint8)).view(dtype).view(shape)
