"""Letter logits of encoded pairs in one forward pass per batch, or a few generated tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cleartrace.pairs.encode import EncodedPair, PairEncoder
from cleartrace.pairs.record import Order, Pair
from cleartrace.probe.collate import Batch, batches


@dataclass(frozen=True)
class Reading:
    """What a model thinks of one prompt. `margin`: log-odds of the first letter in nats; `mass`: P of both letters."""

    margin: float
    mass: float


class LogitScorer:
    """Letter margins of encoded pairs, for the probe and for validation on held-out pairs while training.

    Only the answer position passes the LM head (spec 3.6), so a batch costs its tokens and no more. bf16 logits near
    20 are steps of 0.125, which is the noise floor of a margin in that type.

        scorer = LogitScorer(model, tokenizer)
        readings = scorer.read([scorer.encode(pair, order) for pair in pairs for order in Order])

    Args:
        model: any transformers model with an LM head, text or vision; it is put into evaluation mode while it reads.
        processor: needed for pairs with images.
        batch_tokens: padded tokens of a batch; a longer row is a batch of its own.
        encoder_options: further arguments of `PairEncoder`.
    """

    def __init__(
        self, model: Any, tokenizer: Any, processor: Any = None, *, batch_tokens: int = 16384, **encoder_options: Any
    ) -> None:
        self.model = model
        self.encoder = PairEncoder(tokenizer, processor, **encoder_options)
        self.batch_tokens = batch_tokens
        self._tokenizer = tokenizer

    @property
    def max_tokens(self) -> int | None:
        """Longest prompt that leaves room for an answer of one token, where the model has a limit."""
        config = self.model.config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None)
        return None if limit is None else int(limit) - 1

    def encode(self, pair: Pair, order: Order, *, blind: bool = False) -> EncodedPair:
        """The row of a pair, as training encodes it."""
        return self.encoder.encode(pair, order, blind=blind)

    def read(self, rows: Sequence[EncodedPair]) -> list[Reading]:
        """One reading per row, in order."""
        found: dict[int, Reading] = {}
        for indices, readings in self.read_batches(rows):
            found.update(zip(indices, readings, strict=True))
        return [found[index] for index in range(len(rows))]

    def read_batches(self, rows: Sequence[EncodedPair]) -> Iterator[tuple[list[int], list[Reading]]]:
        """(indices of rows, their readings) batch by batch, the longest rows first."""
        for batch in batches(rows, self.batch_tokens, pad=self._pad):
            yield batch.indices, self._read(batch, rows)

    def generate(self, rows: Sequence[EncodedPair], new_tokens: int) -> Iterator[tuple[list[int], list[str]]]:
        """(indices of rows, greedy continuations) batch by batch."""
        import torch

        for batch in batches(rows, self.batch_tokens, pad=self._pad, left=True):
            with _evaluating(self.model), torch.inference_mode():
                inputs = batch.inputs(self.model.device)
                width = inputs["input_ids"].shape[1]
                done = self.model.generate(
                    **inputs, max_new_tokens=new_tokens, do_sample=False, pad_token_id=self._pad, **_NO_SAMPLING
                )
            yield batch.indices, self._tokenizer.batch_decode(done[:, width:], skip_special_tokens=True)

    def _read(self, batch: Batch, rows: Sequence[EncodedPair]) -> list[Reading]:
        import torch

        with _evaluating(self.model), torch.inference_mode(), _answer_positions_only(self.model, batch.last):
            logits = self.model(**batch.inputs(self.model.device), use_cache=False).logits[:, 0].float()
        return [_reading(row, rows[index]) for row, index in zip(logits, batch.indices, strict=True)]

    @property
    def _pad(self) -> int:
        return next(
            (token for token in (self._tokenizer.pad_token_id, self._tokenizer.eos_token_id) if token is not None), 0
        )


_NO_SAMPLING = {"temperature": None, "top_p": None, "top_k": None}


def _reading(logits: Any, row: EncodedPair) -> Reading:
    first, second = (logits[list(ids)].logsumexp(0) for ids in (row.first_ids, row.second_ids))
    both = logits[[*row.first_ids, *row.second_ids]].logsumexp(0)
    return Reading(float(first - second), float((both - logits.logsumexp(0)).exp()))


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@contextmanager
def _answer_positions_only(model: Any, last: Sequence[int]) -> Iterator[None]:
    """Narrow the hidden states to one position per row before the LM head; the hook is gone afterwards."""
    import torch

    head = model.get_output_embeddings()
    if head is None:
        raise ValueError(f"{type(model).__name__} has no LM head, so it has no letter logits")

    def narrow(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        del module
        hidden, *rest = inputs
        places = torch.tensor(last, device=hidden.device)
        return (hidden[torch.arange(len(last), device=hidden.device), places].unsqueeze(1), *rest)

    handle = head.register_forward_pre_hook(narrow)
    try:
        yield
    finally:
        handle.remove()
