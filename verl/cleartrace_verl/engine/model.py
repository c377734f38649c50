"""The forward pass over a flat batch of tokens, written directly over the weights and the slot cache."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

from .architecture import Architecture
from .cache import SlotCache
from .weights import LayerWeights, Weights


@dataclass(frozen=True)
class Chunk:
    """Consecutive new tokens of one sequence: `count` of them, the first at position `start` of `slot`."""

    slot: int
    start: int
    count: int


@dataclass(frozen=True)
class Batch:
    """Tokens of one step: first one per decoding sequence, then those of the prefill chunks.

    `tokens`, `positions`, `slots`: int64 [N]. `decode_slots`: the slots of the first len(decode_slots) tokens, in
    rising order. `mask`: [rows, 1, 1, T] additive, over slots 0..rows-1, or None when nothing decodes.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    slots: torch.Tensor
    decode_slots: list[int]
    mask: torch.Tensor | None
    chunks: list[Chunk]


class LeanModel:
    """RMSNorm, rotary, grouped-query attention and SwiGLU, without the module machinery of `transformers`."""

    never: tuple[int, ...] = ()
    """Tokens that are not sampled."""

    def __init__(self, arch: Architecture, weights: Weights, cos: torch.Tensor, sin: torch.Tensor) -> None:
        """`cos`, `sin`: [context, head_dim], already scaled; the first half of `sin` carries the minus sign."""
        self.arch, self.weights, self.cos, self.sin = arch, weights, cos, sin

    @property
    def context(self) -> int:
        """Tokens of prompt plus output that the rotary tables reach."""
        return len(self.cos)

    @property
    def vocab(self) -> int:
        return self.arch.vocab

    def forward(self, batch: Batch, cache: SlotCache, rows: torch.Tensor) -> torch.Tensor:
        """Run all layers, write the new keys and values, return float32 logits [len(rows), vocab].

        `rows`: int64 indices of the tokens whose logits are wanted.
        """
        arch, weights = self.arch, self.weights
        hidden = weights.embed[batch.tokens]
        cos = self.cos[batch.positions].unsqueeze(1)
        sin = self.sin[batch.positions].unsqueeze(1)
        for layer, keys, values in zip(weights.layers, cache.keys, cache.values, strict=True):
            normed = rms_norm(hidden, (arch.hidden,), layer.input_norm, arch.eps)
            attended = self._attention(normed, layer, keys, values, batch, cos, sin)
            hidden = hidden + linear(attended, layer.output, layer.output_bias)
            normed = rms_norm(hidden, (arch.hidden,), layer.post_norm, arch.eps)
            gate, up = linear(normed, layer.gate_up, layer.gate_up_bias).chunk(2, dim=-1)
            hidden = hidden + linear(silu(gate) * up, layer.down, layer.down_bias)
        if len(rows) != len(hidden):
            hidden = hidden[rows]
        return linear(rms_norm(hidden, (arch.hidden,), weights.norm, arch.eps), weights.head).float()

    def _attention(
        self,
        normed: torch.Tensor,
        layer: LayerWeights,
        keys: torch.Tensor,
        values: torch.Tensor,
        batch: Batch,
        cos: torch.Tensor,
        sin: torch.Tensor,
    ) -> torch.Tensor:
        arch = self.arch
        rotated_heads = arch.heads + arch.kv_heads
        heads = linear(normed, layer.qkv, layer.qkv_bias).view(len(normed), -1, arch.head_dim)
        rotated = heads[:, :rotated_heads]
        if layer.qk_norm is not None:
            rotated = rms_norm(rotated, (arch.head_dim,), None, arch.eps) * layer.qk_norm
        rotated = rotated * cos + rotated.roll(arch.head_dim // 2, -1) * sin
        query = rotated[:, : arch.heads]
        keys[batch.slots, :, batch.positions] = rotated[:, arch.heads :]
        values[batch.slots, :, batch.positions] = heads[:, rotated_heads:]
        parts = []
        decoding = len(batch.decode_slots)
        if batch.mask is not None:
            parts.append(self._attend_decode(query[:decoding], keys, values, batch.mask, batch.decode_slots))
        offset = decoding
        for chunk in batch.chunks:
            parts.append(self._attend_chunk(query[offset : offset + chunk.count], keys, values, chunk))
            offset += chunk.count
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _attend_decode(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, slots: list[int]
    ) -> torch.Tensor:
        """One query token per sequence, over the cache rows 0..rows-1 in place (a gather would copy all KV)."""
        arch, (rows, length) = self.arch, (mask.shape[0], mask.shape[-1])
        gaps = rows != len(slots)
        if gaps:
            spread = query.new_zeros(rows, arch.heads, arch.head_dim)
            spread[slots] = query
            query = spread
        # The query heads of one KV head go where query positions would: each key is then read once for all of them.
        grouped = query.reshape(rows, arch.kv_heads, -1, arch.head_dim)
        out = scaled_dot_product_attention(grouped, keys[:rows, :, :length], values[:rows, :, :length], attn_mask=mask)
        out = out.reshape(rows, -1)
        return out[slots] if gaps else out

    def _attend_chunk(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, chunk: Chunk
    ) -> torch.Tensor:
        """Several query tokens of one sequence, causal, after `chunk.start` cached ones."""
        arch, total = self.arch, chunk.start + chunk.count
        group = arch.heads // arch.kv_heads
        grouped = query.view(chunk.count, arch.kv_heads, group, arch.head_dim).permute(1, 2, 0, 3)
        seen = (arch.kv_heads, group, total, arch.head_dim)
        key = keys[chunk.slot, :, :total].unsqueeze(1).expand(seen)
        value = values[chunk.slot, :, :total].unsqueeze(1).expand(seen)
        if chunk.start == 0:
            out = scaled_dot_product_attention(grouped, key, value, is_causal=True)
        else:
            visible = torch.ones(chunk.count, total, dtype=torch.bool, device=query.device).tril(chunk.start)
            out = scaled_dot_product_attention(grouped, key, value, attn_mask=visible)
        return out.permute(2, 0, 1, 3).reshape(chunk.count, -1)


def rotary_tables(
    inv_freq: torch.Tensor, scaling: float, context: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and signed sine tables [context, head_dim] for `x * cos + roll(x, head_dim / 2) * sin`.

    Angles are computed in float32 and rounded to `dtype` last, as `transformers` does.
    """
    angles = torch.arange(context, device=inv_freq.device, dtype=torch.float32)[:, None] * inv_freq.float()[None]
    cos, sin = angles.cos() * scaling, angles.sin() * scaling
    return torch.cat((cos, cos), -1).to(dtype), torch.cat((-sin, sin), -1).to(dtype)
