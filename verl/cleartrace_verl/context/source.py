"""From files of pairs to the batches of a rank: encoded, kept when they fit, drawn by the stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from tensordict import TensorDict

from cleartrace.losses.context_options import ContextConfig, LogitsPath, OrderPolicy
from cleartrace.pairs.encode import EncodedPair, PairEncoder
from cleartrace.pairs.order import rows_of
from cleartrace.pairs.record import Order, Pair
from cleartrace.pairs.stream import PairStream
from cleartrace_verl.context.rows import BatchSettings, Row, batch_of

HELD_OUT_CHUNK = 16

Positions = Callable[[EncodedPair, Sequence[int]], tuple[torch.Tensor, dict[str, torch.Tensor]]]
"""Position ids and model inputs of an encoded pair whose row has the given ids."""


class PairSource:
    """Training and held-out rows of one data-parallel rank.

    Args:
        train, held_out: pairs whose rows fit.
        dropped: training pairs that do not.
    """

    def __init__(
        self,
        config: ContextConfig,
        encoder: PairEncoder,
        settings: BatchSettings,
        positions: Positions,
        *,
        train: Sequence[Pair],
        held_out: Sequence[Pair],
        dropped: int,
        rank: int,
        ranks: int,
    ):
        self._config, self._encoder, self._settings, self._positions = config, encoder, settings, positions
        self._train = train
        kept = min(len(held_out), config.val_pairs) // ranks * ranks
        self._held_out = list(held_out[:kept])[rank::ranks]
        self.dropped = dropped
        self._stream = PairStream(
            n=len(train),
            batch_size=config.batch_size,
            seed=config.seed,
            dp_rank=rank,
            dp_size=ranks,
            every_n_steps=config.every_n_steps,
            balanced=config.order is OrderPolicy.BALANCED,
        )

    def is_active(self, step: int) -> bool:
        """Whether optimizer step `step` of the run learns from pairs."""
        return self._stream.is_active(step)

    @property
    def terms_per_batch(self) -> int:
        """Loss terms of a batch over all ranks."""
        both = self._config.order is OrderPolicy.BOTH and not self._config.debias
        return self._config.batch_size * (2 if both else 1)

    def epoch(self, step: int) -> int:
        """Passes over the data before the batch of optimizer step `step`."""
        return self._stream.batch(step)[0].epoch

    def batch(self, step: int) -> TensorDict:
        """This rank's rows of optimizer step `step`."""
        draws = self._stream.batch(step)
        return self._batch(rows_of(self._config.order, self._train, draws, self._config.seed))

    def held_out_batches(self) -> Iterator[TensorDict]:
        """Held-out pairs in both orders, equally many batches on every rank."""
        for start in range(0, len(self._held_out), HELD_OUT_CHUNK):
            chunk = self._held_out[start : start + HELD_OUT_CHUNK]
            yield self._batch([(pair, order) for pair in chunk for order in Order])

    def _batch(self, drawn: Iterable[tuple[Pair, Order]]) -> TensorDict:
        rows = [row for pair, order in drawn for row in self._rows(self._encoder.encode(pair, order))]
        return batch_of(rows, self._settings)

    def _rows(self, encoded: EncodedPair) -> Iterator[Row]:
        if self._settings.path is LogitsPath.PAIR:
            for letter in (encoded.first_ids[0], encoded.second_ids[0]):
                yield self._row(encoded, (*encoded.input_ids, letter))
        else:
            yield self._row(encoded, tuple(encoded.input_ids))

    def _row(self, encoded: EncodedPair, ids: tuple[int, ...]) -> Row:
        position_ids, inputs = self._positions(encoded, ids)
        return Row(encoded, ids, position_ids, inputs)
