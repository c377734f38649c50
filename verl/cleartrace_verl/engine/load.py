"""From a `transformers` model or checkpoint to an engine, checked against the original on the way."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

# The name at the top of transformers wants torchvision; the class takes PIL where there is none.
from transformers.models.auto.image_processing_auto import AutoImageProcessor

from .architecture import Architecture
from .cache import SlotCache
from .config import EngineConfig, EngineError, Sampling
from .engine import Engine
from .model import Chunk, LeanModel, rotary_tables
from .sequence import Sequence, make_batch
from .vision import VISION_MODELS, VisionEngine
from .vision_model import VisionModel
from .weights import Weights

DEFAULT_CONTEXT = 4096
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1}
"""Largest mean difference of log-probs in the self-check; a wrong position or weight moves it far beyond."""


def load_engine(path: str | Path, config: EngineConfig | None = None) -> Engine:
    """Make an engine from a local checkpoint folder: a `VisionEngine` for a vision-language model.

    Raises UnsupportedModel, or EngineError if the check fails.
    """
    config = config or EngineConfig()
    stored = AutoConfig.from_pretrained(path)
    if stored.model_type in VISION_MODELS:
        return load_vision_engine(path, config)
    Architecture.from_hf(stored)
    return build_engine(AutoModelForCausalLM.from_pretrained(path, dtype="auto"), config)


def build_engine(model: Any, config: EngineConfig | None = None) -> Engine:
    """Make an engine from a `transformers` causal language model; the weights are copied, the model left as it is.

    Raises UnsupportedModel for an architecture outside llama, qwen2 and qwen3, EngineError when the engine's
    log-probs differ from the model's own.
    """
    config = config or EngineConfig()
    arch = Architecture.from_hf(model.config)
    device = torch.device(config.device)
    dtype = resolve_dtype(config.dtype, model.dtype, device)
    context = config.max_context or min(arch.context, DEFAULT_CONTEXT)
    if context > arch.context:
        raise EngineError(f"max_context={context} exceeds the model's own limit of {arch.context} tokens")
    weights = Weights.empty(arch, dtype, device)
    weights.load(model.state_dict().items())
    rotary = model.model.rotary_emb
    if rotary.inv_freq.shape[0] * 2 != arch.head_dim:
        raise EngineError("partial rotary embeddings are not supported by the embedded engine")
    cos, sin = rotary_tables(rotary.inv_freq.to(device), rotary.attention_scaling, context, dtype)
    lean = LeanModel(arch, weights, cos, sin)
    self_check(lean, model)
    return Engine(lean, config, eos_ids(model))


def load_vision_engine(path: str | Path, config: EngineConfig) -> VisionEngine:
    """Make an engine from a local folder with a vision-language model and its image processor."""
    device = torch.device(config.device)
    model: Any = AutoModelForImageTextToText.from_pretrained(path, dtype="auto")
    model = model.to(device, resolve_dtype(config.dtype, model.dtype, device)).eval()
    limit = model.config.text_config.max_position_embeddings
    context = config.max_context or min(limit, DEFAULT_CONTEXT)
    if context > limit:
        raise EngineError(f"max_context={context} exceeds the model's own limit of {limit} tokens")
    vision = VisionModel(model, AutoImageProcessor.from_pretrained(path), context)
    return VisionEngine(vision, config, eos_ids(model))


def resolve_dtype(wish: str, stored: torch.dtype, device: torch.device) -> torch.dtype:
    """The type to compute in: the wish, or for "auto" the stored one unless the CPU would have to emulate it."""
    if wish != "auto":
        return getattr(torch, wish)
    native = device.type != "cpu" or any(
        getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return torch.bfloat16 if stored is torch.bfloat16 and native else torch.float32


def eos_ids(model: Any) -> tuple[int, ...]:
    """End-of-sequence ids of the generation configuration, else of the model configuration; () when none is set."""
    ids = getattr(model.generation_config, "eos_token_id", None)
    ids = model.config.get_text_config().eos_token_id if ids is None else ids
    if ids is None:
        return ()
    return tuple(ids) if isinstance(ids, (list, tuple)) else (int(ids),)


@torch.inference_mode()
def self_check(lean: LeanModel, reference: Any, length: int = 12) -> float:
    """Compare log-probs over prefill, a chunk after a prefix, and decoding, with the reference's plain forward.

    Returns the largest difference; raises EngineError when the mean one exceeds the type's tolerance.
    """
    embed = lean.weights.embed
    length = min(length, len(lean.cos))
    ids = np.random.default_rng(0).integers(0, lean.arch.vocab, length)
    tokens = torch.from_numpy(ids)[None].to(reference.device)
    if reference.dtype is not embed.dtype:
        reference = copy.deepcopy(reference).to(embed.dtype)
    training = reference.training
    reference.eval()
    expected = reference(tokens, use_cache=False).logits[0].float().log_softmax(-1).to(embed.device)
    reference.train(training)
    difference = (_staged_log_probs(lean, ids) - expected).abs()
    if not bool(difference.mean() <= _TOLERANCE[embed.dtype]):
        raise EngineError(
            f"the engine's log-probs differ from the {lean.arch.model_type} model's own by "
            f"{difference.mean():.3g} on average: this checkpoint uses something the lean forward does not implement"
        )
    return float(difference.max())


def _staged_log_probs(lean: LeanModel, ids: np.ndarray) -> torch.Tensor:
    embed, slot = lean.weights.embed, 1
    cache = SlotCache(lean.arch, 2, len(ids), embed.dtype, embed.device)
    sequence = Sequence("", ids, ids.tolist(), Sampling(), 0, frozenset(), np.empty(0), slot=slot)
    third = len(ids) // 3
    parts = []
    for start, count in ((0, third), (third, third)):
        batch = make_batch([], [(sequence, Chunk(slot, start, count))], embed.dtype, embed.device)
        parts.append(lean.forward(batch, cache, torch.arange(count, device=embed.device)))
    for position in range(2 * third, len(ids)):
        sequence.computed = position
        batch = make_batch([sequence], [], embed.dtype, embed.device)
        parts.append(lean.forward(batch, cache, torch.arange(1, device=embed.device)))
    return torch.cat(parts).log_softmax(-1)
