"""Rows of contrastive pairs as the batch that veRL's engine takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu

from cleartrace.losses.context_options import LogitsPath
from cleartrace.pairs.encode import EncodedPair

ANSWER_ROWS_ONLY = "context_answer_rows_only"


@dataclass(frozen=True)
class BatchSettings:
    """How rows are cut into micro-batches and run.

    Args:
        max_tokens: tokens of a micro-batch on one GPU.
        packed: without padding (veRL's `use_remove_padding`).
        fused: the model gives log-probs in the place of logits.
        group: rows in succession that must share a micro-batch.
    """

    path: LogitsPath
    max_tokens: int
    packed: bool
    fused: bool
    group: int = 1


@dataclass(frozen=True)
class Row:
    """One forward: an encoded pair, and for the path `pair` the letter that ends it."""

    encoded: EncodedPair
    ids: tuple[int, ...]
    position_ids: torch.Tensor
    """`[tokens]`, or `[4, tokens]` for multi-modal rotary positions."""
    multi_modal_inputs: dict[str, torch.Tensor]


def batch_of(rows: Sequence[Row], settings: BatchSettings) -> TensorDict:
    """A batch for `forward_backward_batch`; an answer position is the last of its row."""
    tensors: dict[str, Any] = {
        "input_ids": tu.nested_tensor_from_tensor_list([torch.tensor(row.ids) for row in rows]),
        "position_ids": tu.nested_tensor_from_tensor_list([row.position_ids for row in rows]),
        "loss_mask": tu.nested_tensor_from_tensor_list([_last_only(len(row.ids)) for row in rows]),
        "first_ids": torch.tensor([row.encoded.first_ids for row in rows]),
        "second_ids": torch.tensor([row.encoded.second_ids for row in rows]),
        "correct_first": torch.tensor([row.encoded.correct_first for row in rows]),
        "row": torch.arange(len(rows)),
    }
    batch = TensorDict(tensors, batch_size=len(rows))
    if any(row.multi_modal_inputs for row in rows):
        tu.assign_non_tensor_stack(batch, "multi_modal_inputs", [row.multi_modal_inputs for row in rows])
    processor = settings.path is LogitsPath.PROCESSOR
    tu.assign_non_tensor(
        batch,
        temperature=1.0,  # never that of the rollouts
        use_remove_padding=settings.packed,
        use_dynamic_bsz=True,
        max_token_len_per_gpu=settings.max_tokens,
        use_fused_kernels=settings.fused,
        global_batch_size=len(rows),
        force_group_size=settings.group,
        distillation_use_topk=processor,
        distillation_only=processor,
    )
    if settings.path is LogitsPath.LM_HEAD:
        tu.assign_non_tensor(batch, **{ANSWER_ROWS_ONLY: True})
    return batch


def row_offsets(batch: TensorDict) -> torch.Tensor:
    """`[rows + 1]` places where the rows of a batch begin when they are packed, and where the last one ends."""
    ids: Any = batch["input_ids"]
    return ids.offsets()


def _last_only(length: int) -> torch.Tensor:
    mask = torch.zeros(length, dtype=torch.long)
    mask[-1] = 1
    return mask
