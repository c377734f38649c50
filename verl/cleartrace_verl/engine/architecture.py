"""Which decoder-only architectures the lean forward serves, read from a Hugging Face configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .config import UnsupportedModel

SUPPORTED = ("llama", "qwen2", "qwen3")
STATIC_ROPE = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True)
class Architecture:
    """Sizes of a RMSNorm + rotary + grouped-query attention + SwiGLU decoder.

    `head_dim` in features per head; `context` in tokens; the `*_bias` flags say which projections carry one.
    """

    model_type: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    context: int
    eps: float
    tied: bool
    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    qk_norm: bool

    @classmethod
    def from_hf(cls, config: Any) -> Architecture:
        """Read a `transformers` configuration. Raises UnsupportedModel, naming what is not supported."""
        kind = config.model_type
        if kind not in SUPPORTED:
            raise UnsupportedModel(
                f"model type {kind!r} is not served by the embedded engine; supported: {', '.join(SUPPORTED)}. "
                "Use a vLLM or SGLang rollout for it"
            )
        _refuse_variants(config)
        attention_bias = bool(getattr(config, "attention_bias", False))
        return cls(
            model_type=kind,
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads or config.num_attention_heads,
            head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
            ffn=config.intermediate_size,
            vocab=config.vocab_size,
            context=config.max_position_embeddings,
            eps=config.rms_norm_eps,
            tied=bool(config.tie_word_embeddings),
            qkv_bias=kind == "qwen2" or attention_bias,
            output_bias=kind != "qwen2" and attention_bias,
            mlp_bias=bool(getattr(config, "mlp_bias", False)),
            qk_norm=kind == "qwen3",
        )


def _refuse_variants(config: Any) -> None:
    if config.hidden_act != "silu":
        raise UnsupportedModel(f"activation {config.hidden_act!r} is not supported, only 'silu'")
    layer_types = set(getattr(config, "layer_types", None) or ["full_attention"])
    if layer_types != {"full_attention"}:
        raise UnsupportedModel(f"attention types {sorted(layer_types)} are not supported, only 'full_attention'")
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope not in STATIC_ROPE:
        raise UnsupportedModel(f"rotary scaling {rope!r} is not supported, only {', '.join(STATIC_ROPE)}")
