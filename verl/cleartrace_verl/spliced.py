"""Corrects the loss of spliced tokens in a step's batch, on top of veRL's rollout correction."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from tensordict import TensorDict
from transfer_queue import KVBatchMeta

from cleartrace.purify.config import Correction, SaarConfig
from cleartrace.purify.correction import Corrected, correct, correction_metrics
from cleartrace_verl.batch import column, nested

WEIGHTS = "rollout_is_weights"


def correct_spliced(
    batch: KVBatchMeta, config: SaarConfig, *, with_log_probs: bool, weighted: bool
) -> dict[str, float]:
    """Write `rollout_is_weights` and `response_mask` of every row, and return the metrics of the correction.

    Call it after veRL computed advantages. Where veRL has weights of its own (`weighted`), they stay on tokens that are
    not spliced: on the others its weight and ours are the same ratio, which must not count twice.
    """
    if config.correction is Correction.NONE:
        return {}
    fields = ["old_log_probs", "response_mask", "extra_fields"]
    fields += ["rollout_log_probs"] * with_log_probs + [WEIGHTS] * weighted
    data = tq.kv_batch_get(keys=batch.keys, partition_id=str(batch.partition_id), select_fields=fields)
    extra = column(data, "extra_fields")
    flags = [_flags(fields, len(row)) for fields, row in zip(extra, data["response_mask"].unbind(), strict=True)]
    rows = [_row(data, i, flags[i], config, with_log_probs) for i in range(len(flags))]
    own = data[WEIGHTS].unbind() if weighted else None
    weights = [
        _tensor(row.weights if own is None else np.where(flag, row.weights, own[i].numpy()))
        for i, (row, flag) in enumerate(zip(rows, flags, strict=True))
    ]
    masks = [torch.as_tensor(row.mask, dtype=data["response_mask"].dtype) for row in rows]
    written = TensorDict({WEIGHTS: nested(weights), "response_mask": nested(masks)}, batch_size=len(rows))
    tq.kv_batch_put(keys=batch.keys, partition_id=str(batch.partition_id), fields=written)
    return correction_metrics(list(zip(rows, flags, strict=True)))


def _row(data: TensorDict, i: int, flags: list[int], config: SaarConfig, with_log_probs: bool) -> Corrected:
    def values(name: str) -> np.ndarray:
        return data[name].unbind()[i].float().numpy()

    sampled = values("rollout_log_probs") if with_log_probs else None
    return correct(values("old_log_probs"), sampled, flags, values("response_mask"), config)


def _flags(fields: Any, length: int) -> list[int]:
    """The spliced mask of a row. A filler row of veRL has one token and carries the fields of the row it copies."""
    return list((fields or {}).get("saar_spliced_mask") or [0] * length)[:length]


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float32)
