"""The SFT data set: trains what a policy samples in its turns, and nothing else.

Give this file as `data.custom_cls.path`.
"""

from __future__ import annotations

from typing import Any

import torch
from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset
from verl.utils.tokenizer.chat_template import initialize_turn_separator


class AssistantTurnsDataset(MultiTurnSFTDataset):
    """veRL's multi-turn data set with a loss mask that ends at the end-of-turn token.

    veRL also trains the separator that ChatML templates put behind it (a newline), which an engine never samples,
    because it stops at the end token; in RL that token has mask 0.
    """

    def _read_files_and_process(self) -> None:
        super()._read_files_and_process()
        self._separator = initialize_turn_separator(self.tokenizer, **self.apply_chat_template_kwargs)

    def _process_single_message(
        self, index: int, message: dict[str, Any], *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Token ids, loss mask and attention mask of one message, all of shape (tokens,), and further model inputs."""
        parent: Any = super()  # veRL annotates lists and returns tensors
        ids, loss_mask, attention_mask, inputs = parent._process_single_message(index, message, *args, **kwargs)
        n = len(self._separator)
        if n and message["role"] == "assistant" and ids[-n:].tolist() == self._separator:
            loss_mask[-n:] = 0
        return ids, loss_mask, attention_mask, inputs
