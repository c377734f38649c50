"""Tokenised demonstrations in batches, with one loss weight per token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from cleartrace.data.tasks import FAMILIES, Split, draw_task
from cleartrace.data.tasks.families import GOODS, HOLDERS, PEOPLE, WORDS
from recipe.cleaner.coldstart.demonstrations import ErrorRates, Messages, copy_practice, demonstrate
from recipe.cleaner.coldstart.tokenizer import PAD, chat_ids, token_id

COPY_WORDS = [*PEOPLE, *GOODS, *HOLDERS, *WORDS]
BUCKET = 4
"""Batches sorted by length together: less padding, while the batches still come in random order."""


@dataclass(frozen=True)
class Weighted:
    """Token ids and loss weights of one conversation, equally long."""

    ids: list[int]
    weights: list[float]


def encode(tokenizer: PreTrainedTokenizerFast, messages: Messages, context_weight: float) -> Weighted:
    """Weight 1 on what the assistant writes up to its end token, `context_weight` on everything else."""
    # An empty turn is its header and two closing tokens: <|im_end|> and a newline.
    header = len(chat_ids(tokenizer, [{"role": "assistant", "content": ""}])) - 2
    ids: list[int] = []
    weights: list[float] = []
    for message in messages:
        piece = chat_ids(tokenizer, [message])
        own = [context_weight] * len(piece)
        if message["role"] == "assistant":
            # The header comes from the template, as does the newline after <|im_end|>.
            own[header:-1] = [1.0] * (len(piece) - header - 1)
        ids += piece
        weights += own
    return Weighted(ids, weights)


def copy_share(step: int, steps: int) -> float:
    """Share of copy practice: 60 % in the first 15 % of the steps, then 15 %."""
    return 0.6 if step < 0.15 * steps else 0.15


def example(rng: Random, practice: float, rates: ErrorRates) -> Messages:
    """One random conversation of the training stream."""
    if rng.random() < practice:
        return copy_practice(rng, COPY_WORDS)
    task = draw_task(rng, Split.TRAIN, level=rng.choice((1, 2, 2)), families=tuple(FAMILIES))
    return demonstrate(task, rng, rates)


def batches(
    tokenizer: PreTrainedTokenizerFast, seed: int, steps: int, size: int, rates: ErrorRates, context_weight: float
) -> Iterator[tuple[Tensor, Tensor]]:
    """`steps` pairs (ids, weights), each of shape (size, longest)."""
    rng = Random(f"sft/{seed}")
    pad_id = token_id(tokenizer, PAD)
    for first in range(0, steps, BUCKET):
        wanted = min(BUCKET, steps - first)
        practice = copy_share(first, steps)
        drawn = [encode(tokenizer, example(rng, practice, rates), context_weight) for _ in range(size * wanted)]
        drawn.sort(key=lambda one: len(one.ids))
        groups = [drawn[i : i + size] for i in range(0, len(drawn), size)]
        rng.shuffle(groups)
        for group in groups:
            yield pad(group, pad_id)


def pad(group: list[Weighted], pad_id: int) -> tuple[Tensor, Tensor]:
    """Right-pad to the longest: under causal attention the padding cannot reach a real token."""
    longest = max(len(one.ids) for one in group)
    ids = torch.full((len(group), longest), pad_id)
    weights = torch.zeros(len(group), longest)
    for row, one in enumerate(group):
        ids[row, : len(one.ids)] = torch.tensor(one.ids)
        weights[row, : len(one.ids)] = torch.tensor(one.weights)
    return ids, weights
