"""A vision-language model of transformers as the engine sees it: prefill with images, then one token at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Tokens
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from .config import InvalidRequest, WeightMismatch


@dataclass
class Continuation:
    """Where a request stands: its keys and values, and the rotary position of its next token."""

    cache: DynamicCache
    position: int


class VisionModel:
    """Qwen2.5-VL or Qwen3-VL. `weights` of the engine's interface is the object itself."""

    def __init__(self, model: Any, image_processor: Any, context: int) -> None:
        self._model, self._processor = model, image_processor
        self.context = context
        self.vocab: int = model.config.text_config.vocab_size
        config = model.config
        self._image_token: int = config.image_token_id
        # A sampled placeholder has no image behind it: positions and embeddings of the whole row would be wrong.
        self.never: tuple[int, ...] = (config.image_token_id, config.video_token_id)

    @property
    def weights(self) -> VisionModel:
        return self

    def load(self, named: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Copy a full set of tensors in place. Raises WeightMismatch when it is not exactly the model's."""
        targets = self._model.state_dict()
        tied = set(self._model.all_tied_weights_keys or ())
        seen: set[str] = set()
        for name, tensor in named:
            if name not in targets or name in seen:
                raise WeightMismatch(
                    f"tensor {name!r} is {'sent twice' if name in seen else 'no weight of this model'}"
                )
            if tensor.shape != targets[name].shape:
                raise WeightMismatch(
                    f"tensor {name!r} has shape {tuple(tensor.shape)}, expected {tuple(targets[name].shape)}"
                )
            with torch.no_grad():
                targets[name].copy_(tensor)
            seen.add(name)
        if missing := sorted(set(targets) - seen - tied):
            raise WeightMismatch(f"{len(missing)} of {len(targets)} tensors were not sent, first {missing[:4]}")

    def prepare(self, ids: Tokens[int], images: Tokens[Any], options: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Model inputs of the images, `{}` for none. Raises InvalidRequest when the prompt has other placeholders.

        Args:
            images: PIL images in their order.
            options: of the image processor, such as `max_pixels`.
        """
        inputs: dict[str, torch.Tensor] = {}
        if len(images):
            made = self._processor(images=list(images), return_tensors="pt", **options)
            inputs = {name: made[name].to(self._model.device) for name in ("pixel_values", "image_grid_thw")}
        merged = self._model.config.vision_config.spatial_merge_size**2
        wanted = int(inputs["image_grid_thw"].prod(1).sum()) // merged if inputs else 0
        found = sum(token == self._image_token for token in ids)
        if found != wanted:
            raise InvalidRequest(
                f"the prompt has {found} image placeholders for {wanted} patches of {len(images)} images"
            )
        return inputs

    def prefill(self, ids: Tokens[int], inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, Continuation]:
        """(float32 logits `[vocab]` behind the prompt, where to go on)."""
        logits, state = self._prompt(ids, inputs, last_only=True)
        return logits[-1], state

    def decode(self, token: int, state: Continuation) -> torch.Tensor:
        """Float32 logits `[vocab]` behind one more token; `state` moves on."""
        device = self._model.device
        positions = torch.full((3, 1, 1), state.position, device=device)
        output = self._model(
            input_ids=torch.tensor([[token]], device=device),
            position_ids=positions,
            past_key_values=state.cache,
            use_cache=True,
        )
        state.position += 1
        return output.logits[0, -1].float()

    def logits(self, ids: Tokens[int]) -> torch.Tensor:
        """Float32 logits `[tokens, vocab]` of a text."""
        return self._prompt(ids, {}, last_only=False)[0]

    def _prompt(
        self, ids: Tokens[int], inputs: Mapping[str, torch.Tensor], last_only: bool
    ) -> tuple[torch.Tensor, Continuation]:
        tokens = torch.tensor([list(ids)], device=self._model.device)
        positions, _ = self._model.model.get_rope_index(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            image_grid_thw=inputs.get("image_grid_thw"),
            mm_token_type_ids=(tokens == self._image_token).long(),
        )
        cache = DynamicCache(config=self._model.config.text_config)
        output = self._model(
            input_ids=tokens,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1 if last_only else 0,
            **inputs,
        )
        return output.logits[0].float(), Continuation(cache, int(positions.max()) + 1)
