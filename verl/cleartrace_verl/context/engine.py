"""veRL's FSDP engine with room for a second pass before each optimizer step; only answer rows meet the LM head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu
from verl.workers.engine import EngineRegistry, FSDPEngineWithLMHead

from cleartrace_verl.context.rows import ANSWER_ROWS_ONLY, row_offsets

MODEL_TYPE = "context_language_model"
"""Name under which `EngineRegistry` knows the engine; veRL's own engine keeps "language_model"."""
ANSWER_LOGITS = "answer_logits"

# veRL's registration decorator hides what it returns.
_Engine: Any = FSDPEngineWithLMHead


class ContextEngine(_Engine):
    """`before_step` runs after the gradient of the policy loss is there and before it is clipped and applied."""

    def __init__(self, model_config: Any, *args: Any, **kwargs: Any):
        model_config.model_type = "language_model"
        super().__init__(model_config, *args, **kwargs)
        self.before_step: Callable[[], None] | None = None
        self._answer_places: torch.Tensor | None = None
        """`[rows]` places of the answers of the forward under way: in the packed row, or each in its padded row."""

    def initialize(self) -> None:
        super().initialize()
        self.module.get_output_embeddings().register_forward_pre_hook(self._narrow)

    def optimizer_step(self) -> Any:
        if self.before_step is not None:
            self.before_step()
        return super().optimizer_step()

    def forward_step(self, micro_batch: TensorDict, loss_function: Any, forward_only: bool) -> Any:
        try:
            return super().forward_step(micro_batch, loss_function, forward_only)
        finally:
            self._answer_places = None

    def prepare_model_inputs(self, micro_batch: TensorDict) -> Any:
        if tu.get_non_tensor_data(micro_batch, ANSWER_ROWS_ONLY, default=False):
            offsets = row_offsets(micro_batch)
            packed = tu.get_non_tensor_data(micro_batch, "use_remove_padding", default=True)
            self._answer_places = offsets[1:] - 1 if packed else offsets.diff() - 1
        return super().prepare_model_inputs(micro_batch)

    def prepare_model_outputs(
        self, output: Any, output_args: Any, micro_batch: TensorDict, logits_processor_func: Any
    ) -> Any:
        if not tu.get_non_tensor_data(micro_batch, ANSWER_ROWS_ONLY, default=False):
            return super().prepare_model_outputs(output, output_args, micro_batch, logits_processor_func)
        rows = row_offsets(micro_batch).numel() - 1
        logits = output.logits.flatten(0, 1)
        if logits.shape[0] != rows:
            raise RuntimeError(
                f"The LM head gave logits of {logits.shape[0]} tokens for {rows} answer rows: this model does not call "
                "its output embeddings as a module. Set actor_rollout_ref.context_rl.logits_path=processor."
            )
        return {ANSWER_LOGITS: logits}

    def _narrow(self, module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
        """Forward pre-hook of the LM head: hidden states of the answer rows alone, `[1, rows, size]` (W7).

        Inert unless a context row is in the forward.
        """
        del module
        places = self._answer_places
        if places is None:
            return None
        hidden = args[0]
        if hidden.shape[0] == 1:
            return (hidden[:, places],)
        batch = torch.arange(hidden.shape[0], device=hidden.device)
        return (hidden[batch, places][None],)


EngineRegistry.register(model_type=MODEL_TYPE, backend=["fsdp", "fsdp2"], device=["cuda", "npu", "cpu"])(ContextEngine)
