"""A model folder in this process that answers the asks of a probe."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cleartrace.data.errors import DataError
from cleartrace.pairs.encode import EncodedPair
from cleartrace.probe.answer import Answer, letter_of_margin, parse_letter
from cleartrace.probe.ask import Ask
from cleartrace.probe.names import Arm, Mode, Status
from cleartrace.probe.scorer import LogitScorer

WINDOW = 128
"""Asks that are encoded at a time."""


class LocalModel:
    """Answers asks with a model in this process."""

    def __init__(
        self, scorer: LogitScorer, mode: Mode, *, answer_tokens: int = 16, max_tokens: int | None = None
    ) -> None:
        self.scorer = scorer
        self.mode = mode
        self.answer_tokens = answer_tokens
        limits = [limit for limit in (max_tokens, scorer.max_tokens) if limit is not None]
        self.max_tokens = min(limits) if limits else None

    def answer(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """One answer per ask, as they are found. Few are encoded at a time: images are large."""
        for start in range(0, len(asks), WINDOW):
            yield from self._answer(asks[start : start + WINDOW])

    def _answer(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        fitting, rows = [], []
        for ask in asks:
            row = self.scorer.encode(ask.pair, ask.order, blind=ask.arm is Arm.BLIND)
            if self.max_tokens is not None and len(row.input_ids) > self.max_tokens:
                error = f"{len(row.input_ids)} tokens, and at most {self.max_tokens} fit"
                yield _answer(ask, Status.TOO_LONG, error=error)
            else:
                fitting.append(ask)
                rows.append(row)
        if rows:
            yield from self._read(fitting, rows) if self.mode is Mode.LOGIT else self._generate(fitting, rows)

    def _read(self, asks: Sequence[Ask], rows: Sequence[EncodedPair]) -> Iterator[Answer]:
        began = time.perf_counter()
        for indices, readings in self.scorer.read_batches(rows):
            each = (time.perf_counter() - began) / len(indices)
            for index, reading in zip(indices, readings, strict=True):
                letter = letter_of_margin(reading.margin, asks[index].letters)
                status = Status.ANSWERED if letter else Status.INVALID
                yield _answer(
                    asks[index], status, letter=letter, margin=reading.margin, mass=reading.mass, seconds=each
                )
            began = time.perf_counter()

    def _generate(self, asks: Sequence[Ask], rows: Sequence[EncodedPair]) -> Iterator[Answer]:
        began = time.perf_counter()
        for indices, texts in self.scorer.generate(rows, self.answer_tokens):
            each = (time.perf_counter() - began) / len(indices)
            for index, text in zip(indices, texts, strict=True):
                letter = parse_letter(text, asks[index].letters)
                status = Status.ANSWERED if letter else Status.INVALID
                yield _answer(asks[index], status, letter=letter, text=text, seconds=each)
            began = time.perf_counter()


def _answer(ask: Ask, status: Status, **fields: Any) -> Answer:
    return Answer(prompt=ask.key, pair_id=ask.pair_id, arm=ask.arm, order=ask.order.value, status=status, **fields)


def load_scorer(
    folder: Path,
    *,
    device: str = "cpu",
    dtype: str = "auto",
    images: bool = False,
    batch_tokens: int = 16384,
    trust_remote_code: bool = False,
    **encoder_options: Any,
) -> LogitScorer:
    """Load a Hugging Face folder: with its processor when it has a vision tower, else with its tokenizer.

    Args:
        images: whether images will be shown.
        trust_remote_code: run code that lies in the folder.
        encoder_options: further arguments of `PairEncoder`.

    Raises:
        DataError: it cannot be loaded, or it sees no images and they will be shown.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

    own: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    try:
        sees = getattr(AutoConfig.from_pretrained(folder, **own), "vision_config", None) is not None
        if sees:
            processor = AutoProcessor.from_pretrained(folder, **own)
            tokenizer = processor.tokenizer
        else:
            processor, tokenizer = None, AutoTokenizer.from_pretrained(folder, **own)
        kind = AutoModelForImageTextToText if sees else AutoModelForCausalLM
        model: Any = kind.from_pretrained(folder, dtype=dtype if dtype == "auto" else getattr(torch, dtype), **own)
    except (OSError, ValueError, ImportError) as error:
        raise DataError(folder, f"no model can be loaded from this folder ({error})") from None
    if images and not sees:
        raise DataError(
            folder, "this model sees no images, and the probe has pairs with images: leave them out of --data"
        )
    return LogitScorer(model.to(device), tokenizer, processor, batch_tokens=batch_tokens, **encoder_options)
