"""Positions and model inputs of a row, by the recipe of veRL's agent loop, so that both passes place tokens alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from verl.utils.tokenizer import get_processor_token_id

from cleartrace.pairs.encode import EncodedPair

MODEL_INPUTS = ("pixel_values", "image_grid_thw")
"""What the model takes of a processor's tensors. `mm_token_type_ids` are for positions only."""
TOKEN_TYPES = {"image": 1, "video": 2}


def positions_of(
    processor: Any,
) -> Callable[[EncodedPair, Sequence[int]], tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    """Position ids and `multi_modal_inputs` of an encoded pair whose row has the given ids.

    Args:
        processor: as veRL's `hf_processor` makes it, with `get_rope_index` bound; None or one without it for models
            with plain positions.
    """

    def positions(encoded: EncodedPair, ids: Sequence[int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        inputs = model_inputs(encoded.mm or {})
        if not hasattr(processor, "get_rope_index"):
            return torch.arange(len(ids)), inputs
        tokens = torch.tensor(list(ids))
        return multimodal_positions(processor, tokens, torch.ones_like(tokens), inputs), inputs

    return positions


def model_inputs(mm: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The part of a processor's tensors that goes into `multi_modal_inputs`; empty for a row without images."""
    return {name: mm[name] for name in MODEL_INPUTS if name in mm}


def multimodal_positions(
    processor: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, mm: Mapping[str, Any]
) -> torch.Tensor:
    """Text range, then the temporal, height and width positions of one row: `[4, tokens]`.

    Args:
        processor: as veRL's `hf_processor` makes it.
        input_ids, attention_mask: `[tokens]`; image placeholders are expanded to one token per merged patch.
        mm: a processor's tensors; `image_grid_thw` is `[images, 3]`.

    Raises:
        ValueError: the placeholders do not match the images.
    """
    types = torch.zeros_like(input_ids)
    for name, kind in TOKEN_TYPES.items():
        token = get_processor_token_id(processor, name)
        if token is not None:
            types[input_ids == token] = kind
    grid = mm.get("image_grid_thw")
    _check_placeholders(processor, types, grid)
    vision, _ = processor.get_rope_index(
        input_ids=input_ids[None],
        attention_mask=attention_mask[None],
        image_grid_thw=grid,
        mm_token_type_ids=types[None],
    )
    text = torch.ones_like(input_ids)
    text[attention_mask.bool()] = torch.arange(int(attention_mask.sum()))
    return torch.cat([text[None], vision[:, 0]])


def _check_placeholders(processor: Any, types: torch.Tensor, grid: torch.Tensor | None) -> None:
    """A placeholder that the tokenizer made from a pair's own text would shift every later image."""
    if (types == TOKEN_TYPES["video"]).any():
        raise ValueError("the row has video placeholders, and pairs have no video: is a vision tag in a pair's text?")
    merged = processor.image_processor.merge_size**2
    wanted = 0 if grid is None else int(grid.prod(dim=1).sum()) // merged
    found = int((types == TOKEN_TYPES["image"]).sum())
    if found != wanted:
        raise ValueError(
            f"the row has {found} image placeholders for {wanted} patches of its images: "
            "is a vision tag in a pair's text?"
        )
