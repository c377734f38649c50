"""The model's weights: fused tensors for speed, addressed by their Hugging Face names for exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch

from .architecture import Architecture
from .config import WeightMismatch

EMBED, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@dataclass
class LayerWeights:
    """One decoder layer. `qkv` [(H + 2 KV) * D, hidden], `gate_up` [2 * ffn, hidden], `qk_norm` [H + KV, D]."""

    input_norm: torch.Tensor
    qkv: torch.Tensor
    output: torch.Tensor
    post_norm: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor
    qkv_bias: torch.Tensor | None = None
    output_bias: torch.Tensor | None = None
    gate_up_bias: torch.Tensor | None = None
    down_bias: torch.Tensor | None = None
    qk_norm: torch.Tensor | None = None


@dataclass
class Weights:
    """All weights of one model. `targets` maps each Hugging Face name to the views its tensor is written to."""

    embed: torch.Tensor
    head: torch.Tensor
    norm: torch.Tensor
    layers: list[LayerWeights]
    targets: dict[str, list[torch.Tensor]] = field(repr=False)
    tied: bool

    @classmethod
    def empty(cls, arch: Architecture, dtype: torch.dtype, device: torch.device) -> Weights:
        """Allocate uninitialised weights; `load` must follow before use."""

        def new(*shape: int) -> torch.Tensor:
            return torch.empty(shape, dtype=dtype, device=device)

        embed, norm = new(arch.vocab, arch.hidden), new(arch.hidden)
        head = embed if arch.tied else new(arch.vocab, arch.hidden)
        layers = [_empty_layer(arch, new) for _ in range(arch.layers)]
        targets = {EMBED: [embed], "model.norm.weight": [norm], HEAD: [head]}
        for index, layer in enumerate(layers):
            targets.update(_layer_targets(arch, layer, f"model.layers.{index}."))
        return cls(embed, head, norm, layers, targets, arch.tied)

    @torch.no_grad()
    def load(self, named: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Copy every tensor of `named` (any dtype or device) in place; never keeps a reference to one.

        A tied head may be sent or left out; when sent it must equal the embedding.
        Raises WeightMismatch for an unexpected, repeated or wrongly shaped tensor and, at the end, for a missing
        one. The weights are then a mixture and must not be used.
        """
        seen: set[str] = set()
        for name, tensor in named:
            self._copy(name, tensor, seen)
            seen.add(name)
        optional = {EMBED, HEAD} if self.tied and seen & {EMBED, HEAD} else set()
        missing = sorted(set(self.targets) - seen - optional)
        if missing:
            raise WeightMismatch(
                f"{len(missing)} of {len(self.targets)} tensors were not sent, first {missing[:4]}; "
                "send the full model under its Hugging Face names (with LoRA: merge the adapter first)"
            )

    def _copy(self, name: str, tensor: torch.Tensor, seen: set[str]) -> None:
        views = self.targets.get(name)
        if views is None:
            raise WeightMismatch(f"unexpected tensor {name!r}: not a weight of this model under its Hugging Face name")
        if name in seen:
            raise WeightMismatch(f"tensor {name!r} was sent twice")
        if tensor.shape != views[0].shape:
            expected = tuple(views[0].shape)
            raise WeightMismatch(f"tensor {name!r} has shape {tuple(tensor.shape)}, expected {expected}")
        if self.tied and name in (EMBED, HEAD) and seen & {EMBED, HEAD}:
            if not torch.allclose(views[0], tensor.to(views[0]), rtol=0, atol=0, equal_nan=True):
                raise WeightMismatch(f"{EMBED} and {HEAD} are tied in this model but were sent with different values")
            return
        for view in views:
            view.copy_(tensor)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Copies of the current weights under their Hugging Face names; a tied head appears under both names."""
        return {name: views[0].clone() for name, views in self.targets.items()}


def _empty_layer(arch: Architecture, new: Callable[..., torch.Tensor]) -> LayerWeights:
    queries, keys = arch.heads * arch.head_dim, arch.kv_heads * arch.head_dim
    return LayerWeights(
        input_norm=new(arch.hidden),
        qkv=new(queries + 2 * keys, arch.hidden),
        output=new(arch.hidden, queries),
        post_norm=new(arch.hidden),
        gate_up=new(2 * arch.ffn, arch.hidden),
        down=new(arch.hidden, arch.ffn),
        qkv_bias=new(queries + 2 * keys) if arch.qkv_bias else None,
        output_bias=new(arch.hidden) if arch.output_bias else None,
        gate_up_bias=new(2 * arch.ffn) if arch.mlp_bias else None,
        down_bias=new(arch.hidden) if arch.mlp_bias else None,
        qk_norm=new(arch.heads + arch.kv_heads, arch.head_dim) if arch.qk_norm else None,
    )


def _layer_targets(arch: Architecture, layer: LayerWeights, prefix: str) -> dict[str, list[torch.Tensor]]:
    queries, keys = arch.heads * arch.head_dim, arch.kv_heads * arch.head_dim
    targets = {
        "input_layernorm.weight": [layer.input_norm],
        "post_attention_layernorm.weight": [layer.post_norm],
    }

    def project(names: tuple[str, ...], sizes: list[int], weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        for kind, tensor in (("weight", weight), ("bias", bias)):
            if tensor is not None:
                targets.update({f"{n}.{kind}": [part] for n, part in zip(names, tensor.split(sizes), strict=True)})

    qkv = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    project(qkv, [queries, keys, keys], layer.qkv, layer.qkv_bias)
    project(("self_attn.o_proj",), [arch.hidden], layer.output, layer.output_bias)
    project(("mlp.gate_proj", "mlp.up_proj"), [arch.ffn, arch.ffn], layer.gate_up, layer.gate_up_bias)
    project(("mlp.down_proj",), [arch.hidden], layer.down, layer.down_bias)
    if layer.qk_norm is not None:
        # The checkpoint has one norm vector for all heads; a row per head lets queries and keys share one multiply.
        targets["self_attn.q_norm.weight"] = list(layer.qk_norm[: arch.heads].unbind())
        targets["self_attn.k_norm.weight"] = list(layer.qk_norm[arch.heads :].unbind())
    return {prefix + name: views for name, views in targets.items()}
