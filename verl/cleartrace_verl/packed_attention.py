"""Attention over packed rows without flash attention: each sequence attends within itself, no dense mask.

transformers' "sdpa" serves a packed row of n tokens with an n x n mask, so its cost grows with the square of the
whole row. Here the sequences become the batch of one causal call, padded on the right, where padding is never seen.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "packed_sdpa"


def sequence_lengths(position_ids: torch.Tensor) -> torch.Tensor:
    """Lengths of the sequences in one packed row of positions `[tokens]`; one ends where they stop rising by 1."""
    starts = torch.ones_like(position_ids, dtype=torch.bool)
    starts[1:] = position_ids.diff() != 1
    edges = torch.cat([starts.nonzero().flatten(), starts.new_tensor([len(starts)], dtype=torch.long)])
    return edges.diff()


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    position_ids: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention of a query `[batch, heads, tokens, dim]`; returns `[batch, tokens, heads, dim]`.

    A single row without a mask is taken apart by its `position_ids`; everything else goes to transformers' "sdpa".
    Raises ValueError for such a row without positions, which could be one sequence or many.
    """
    if attention_mask is not None or query.shape[0] != 1 or query.shape[2] != key.shape[2]:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    if position_ids is None:
        raise ValueError(f"{NAME} needs position_ids to tell packed sequences apart; use attn_implementation=sdpa")
    lengths = sequence_lengths(position_ids[0])
    sequences, longest = len(lengths), int(lengths.max())
    inside = torch.arange(longest, device=lengths.device) < lengths[:, None]
    places = inside.flatten().nonzero().flatten()
    query, key, value = (_spread(tensor, places, sequences, longest) for tensor in (query, key, value))
    output, _ = sdpa_attention_forward(module, query, key, value, None, dropout, scaling, is_causal=True)
    return output.flatten(0, 1).index_select(0, places)[None], None


def _spread(tensor: torch.Tensor, places: torch.Tensor, sequences: int, longest: int) -> torch.Tensor:
    """`[1, heads, tokens, dim]` -> `[sequences, heads, longest, dim]`, zero where a sequence has ended."""
    tokens = tensor[0].transpose(0, 1)
    # index_copy and not indexing: its gradient is a plain gather.
    padded = tokens.new_zeros(sequences * longest, *tokens.shape[1:]).index_copy(0, places, tokens)
    return padded.unflatten(0, (sequences, longest)).transpose(1, 2)


def packed_mask(
    *, q_length: int, kv_length: int, attention_mask: torch.Tensor | None = None, batch_size: int, **kwargs: Any
) -> torch.Tensor | None:
    """No mask for what `packed_attention` takes apart itself, transformers' own for the rest."""
    if attention_mask is None and batch_size == 1 and q_length == kv_length:
        return None
    return sdpa_mask(
        batch_size=batch_size, q_length=q_length, kv_length=kv_length, attention_mask=attention_mask, **kwargs
    )


def register() -> None:
    """Make `attn_implementation=packed_sdpa` known to transformers in this process."""
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, packed_mask)
