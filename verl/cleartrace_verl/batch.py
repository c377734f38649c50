"""Fields of a TransferQueue batch as plain values, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from transfer_queue import KVBatchMeta


def column(data: TensorDict, name: str) -> list[Any]:
    """A non-tensor field as plain values, however TransferQueue stacked it."""
    return [getattr(value, "data", value) for value in data[name]]


def real_keys(batch: KVBatchMeta) -> list[str]:
    """Keys of the rows that a rollout made: veRL fills a batch up with copies."""
    return [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]


def nested(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Rows of different length as one jagged tensor, the form veRL keeps per-token fields in."""
    return torch.nested.as_nested_tensor(list(rows), layout=torch.jagged)
