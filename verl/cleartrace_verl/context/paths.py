"""Logits of the two letters from what veRL's engine gives, by one of three paths with the same margins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict

from cleartrace.losses.context import option_logits, option_mass
from cleartrace.losses.context_options import LogitsPath
from cleartrace_verl.context.engine import ANSWER_LOGITS
from cleartrace_verl.context.rows import row_offsets

FIRST, SECOND = "context_first", "context_second"


@dataclass(frozen=True)
class Answers:
    """What a micro-batch says about its rows, each `[rows]`.

    Args:
        first, second: logits of the letters up to a constant per row.
        correct_first: whether the supporting context stands under the first letter.
        mass: probability of either letter; None where the path never sees the whole vocabulary.
    """

    first: torch.Tensor
    second: torch.Tensor
    correct_first: torch.Tensor
    mass: torch.Tensor | None

    @property
    def margin(self) -> torch.Tensor:
        """Logit of the supporting letter minus that of the confounding one."""
        difference = self.first - self.second
        return torch.where(self.correct_first, difference, -difference)


def read(path: LogitsPath, output: dict[str, Any], data: TensorDict) -> Answers:
    """Answers of one micro-batch from the engine's model output."""
    correct = data["correct_first"]
    match path:
        case LogitsPath.LM_HEAD:
            logits = output[ANSWER_LOGITS]
            first, second = option_logits(logits, data["first_ids"], data["second_ids"])
            return Answers(first, second, correct, option_mass(logits, first, second))
        case LogitsPath.PROCESSOR:
            last = row_offsets(data)[1:] - 1
            return Answers(output[FIRST].values()[last], output[SECOND].values()[last], correct, None)
        case LogitsPath.PAIR:
            before_last = row_offsets(data)[1:] - 2
            log_probs = output["log_probs"].values()[before_last].float()
            first, second = log_probs[0::2], log_probs[1::2]
            return Answers(first, second, correct[0::2], torch.logaddexp(first, second).exp())
        case LogitsPath.AUTO:
            raise ValueError("a path must be chosen before logits are read")


def letters_of_every_token(student_logits: torch.Tensor, data: TensorDict) -> dict[str, torch.Tensor]:
    """For veRL's logits processor: both letters' logits at every packed token, `[1, tokens]` each.

    All rows of a run share their letters, so the ids of the first row serve tokens of all.
    """
    first_ids, second_ids = data["first_ids"][:1], data["second_ids"][:1]
    tokens = student_logits.shape[1]
    first, second = option_logits(student_logits[0], first_ids.expand(tokens, -1), second_ids.expand(tokens, -1))
    return {FIRST: first[None], SECOND: second[None]}
