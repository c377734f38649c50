"""Rows of different lengths as padded batches of about one size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cleartrace.pairs.encode import EncodedPair

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Batch:
    """Padded rows.

    Args:
        indices: their places among the rows that were batched.
        input_ids, attention_mask: (rows, width) of integers.
        last: place of each row's last prompt token.
        mm: processor tensors; images of all rows follow each other.
    """

    indices: list[int]
    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    last: list[int]
    mm: dict[str, torch.Tensor]

    def inputs(self, device: Any) -> dict[str, torch.Tensor]:
        """Keyword arguments of a model."""
        fields = {"input_ids": self.input_ids, "attention_mask": self.attention_mask, **self.mm}
        return {name: tensor.to(device) for name, tensor in fields.items()}


def batches(rows: Sequence[EncodedPair], batch_tokens: int, *, pad: int, left: bool = False) -> Iterator[Batch]:
    """All rows, the longest first, so that a batch wastes little and memory is known to suffice early.

    Rows with images are not mixed with rows without. A row longer than `batch_tokens` is a batch of its own.

    Args:
        left: pad on the left, for generation, and not on the right.
    """
    order = sorted(range(len(rows)), key=lambda index: (bool(rows[index].mm), -len(rows[index].input_ids)))
    group: list[int] = []
    for index in order:
        if group:
            width = len(rows[group[0]].input_ids)
            mixed = bool(rows[group[0]].mm) != bool(rows[index].mm)
            if mixed or (len(group) + 1) * width > batch_tokens:
                yield _collate(rows, group, pad, left)
                group = []
        group.append(index)
    if group:
        yield _collate(rows, group, pad, left)


def _collate(rows: Sequence[EncodedPair], indices: list[int], pad: int, left: bool) -> Batch:
    import torch

    chosen = [rows[index] for index in indices]
    lengths = [len(row.input_ids) for row in chosen]
    width = max(lengths)

    def padded(values: Sequence[Sequence[int]], filler: int) -> torch.Tensor:
        table = torch.full((len(chosen), width), filler, dtype=torch.long)
        for line, (row, length) in enumerate(zip(values, lengths, strict=True)):
            start = width - length if left else 0
            table[line, start : start + length] = torch.tensor(row)
        return table

    ids = padded([row.input_ids for row in chosen], pad)
    mask = padded([[1] * length for length in lengths], 0)
    mm: dict[str, torch.Tensor] = {}
    for name in chosen[0].mm or {}:
        tensors = [row.mm[name] for row in chosen if row.mm]
        # A mark per token is padded like the tokens; anything else lists images.
        per_token = all(tensor.shape == (1, length) for tensor, length in zip(tensors, lengths, strict=True))
        mm[name] = padded([tensor[0].tolist() for tensor in tensors], 0) if per_token else torch.cat(tensors)
    last = [width - 1 if left else length - 1 for length in lengths]
    return Batch(indices, ids, mask, last, mm)
