"""The engine for vision-language models: the same requests, weights and gates, without batching or shared prefixes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Tokens
from typing import Any

import torch

from .config import EngineConfig, Sampling
from .engine import Engine
from .sampler import token_log_probs
from .sequence import Sequence
from .vision_model import Continuation, VisionModel

VISION_MODELS = ("qwen2_5_vl", "qwen3_vl")


class VisionEngine(Engine):
    """Runs each request through the model's own modules, one forward per token.

    For tests and dry runs on a CPU, where it shares every line of the trainer's path; real models want SGLang or vLLM.
    """

    sees_images = True
    model: VisionModel

    def __init__(self, model: VisionModel, config: EngineConfig, eos_token_ids: Iterable[int] = ()) -> None:
        super().__init__(model, config, eos_token_ids)  # pyright: ignore[reportArgumentType]
        self._inputs: dict[str, dict[str, torch.Tensor]] = {}
        self._states: dict[str, Continuation] = {}

    def add(
        self,
        request_id: str,
        prompt_ids: Tokens[int],
        sampling: Sampling,
        images: Tokens[Any] = (),
        processor_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Queue a request. Raises InvalidRequest, also for placeholders that do not match the images.

        Args:
            prompt_ids: with one placeholder per merged patch.
            images: PIL images in the order of their placeholders.
            processor_options: of the image processor, as the prompt was made with.
        """
        inputs = self.model.prepare(prompt_ids, images, processor_options or {})
        super().add(request_id, prompt_ids, sampling)
        if any(waiting.request_id == request_id for waiting in self._waiting):
            self._inputs[request_id] = inputs

    def reset(self) -> None:
        self._inputs.clear()
        self._states.clear()
        super().reset()

    @torch.inference_mode()
    def score(self, prompt_ids: Tokens[int], continuation_ids: Tokens[int], temperature: float = 1.0) -> list[float]:
        """Log-probs of a text behind a text, as `Generation.log_probs` defines them."""
        prompt = self._check_tokens(prompt_ids, "prompt")
        if not len(continuation_ids):
            return []
        self._need_weights()
        tokens = self._check_tokens([*prompt_ids, *continuation_ids], "prompt plus continuation").tolist()
        self.model.prepare(tokens, (), {})
        logits = self.model.logits(tokens[:-1])[len(prompt) - 1 :]
        log_probs = token_log_probs(logits, torch.full((len(logits),), float(temperature), device=logits.device))
        targets = torch.tensor(tokens[len(prompt) :], device=logits.device)
        return log_probs.gather(-1, targets[:, None])[:, 0].tolist()

    def _admit(self) -> None:
        while self._waiting and len(self._running) < self.config.max_slots:
            sequence = self._waiting.popleft()
            sequence.slot = 0  # marks it as running; there are no slots to share
            self._running.append(sequence)

    def _advance(self) -> None:
        if not self._running:
            return
        running = list(self._running)
        logits = torch.stack([self._next_logits(sequence) for sequence in running])
        self._steps += 1
        self._take(running, logits)

    def _next_logits(self, sequence: Sequence) -> torch.Tensor:
        if sequence.prefilling:
            inputs = self._inputs[sequence.request_id]
            logits, self._states[sequence.request_id] = self.model.prefill(sequence.tokens, inputs)
            sequence.computed = len(sequence.prompt)
            self._prefilled += sequence.computed
            return logits
        logits = self.model.decode(sequence.tokens[sequence.computed], self._states[sequence.request_id])
        sequence.computed += 1
        return logits

    def _end(self, sequence: Sequence, finish: Any) -> None:
        self._inputs.pop(sequence.request_id, None)
        self._states.pop(sequence.request_id, None)
        super()._end(sequence, finish)

    def _keep(self, sequence: Sequence) -> None:
        """Nothing is kept: a prefix with images is found by its pictures too, and the store knows tokens only."""
