"""veRL's synchronous trainer with room for rows of pairs: they enlarge mini-batches and never add an update."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from cleartrace.losses.options import Mode
from cleartrace.losses.selection import StepShape, updates_of
from cleartrace.purify.config import SaarConfig
from cleartrace_verl.preference import admit, extra_rows


class PairStepTrainer(PPOTrainerSync):
    """Admits pairs to a step before veRL fills it up to whole mini-batches.

    veRL fills a step up to a multiple of the mini-batch, so one row more than fits would cost a mini-batch of filler
    and an optimizer update. Where the rows do not fit into filler that is there anyway, the step keeps its number of
    updates and its mini-batches grow.
    """

    def __init__(self, config: Any):
        super().__init__(config)
        self._saar = SaarConfig(**dict(config.actor_rollout_ref.rollout.custom.saar))
        self._updates: int | None = None
        """Updates of a step whose mini-batches grow; None when they have their usual size."""

    def _balance_batch(self, batch: KVBatchMeta, *args: Any, **kwargs: Any) -> KVBatchMeta:
        self._updates = None
        if self._saar.negatives.mode is not Mode.OFF:
            batch = admit(batch, self._saar.negatives)
            usual = self.config.actor_rollout_ref.actor.ppo_mini_batch_size * self.config.actor_rollout_ref.rollout.n
            updates = updates_of(len(batch) - len(extra_rows(batch)), usual)
            self._updates = updates if len(batch) > updates * usual else None
        return super()._balance_batch(batch, *args, **kwargs)

    def _get_required_batch_multiple(self, dp_size: int) -> int:
        if self._updates is None:
            return super()._get_required_batch_multiple(dp_size)
        return step_shape(self.config, dp_size).multiple(self._updates)

    def _update_actor(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        if self._updates is None:
            return super()._update_actor(batch, metrics)
        with mini_batches(self.config, rows=len(batch), updates=self._updates):
            return super()._update_actor(batch, metrics)


def step_shape(config: DictConfig, ranks: int) -> StepShape:
    """How rows must divide under this configuration on `ranks` data-parallel ranks."""
    actor, rollout, ref = (config.actor_rollout_ref[name] for name in ("actor", "rollout", "ref"))
    forward = [
        part.log_prob_micro_batch_size_per_gpu or 1 for part in (rollout, ref) if not part.log_prob_use_dynamic_bsz
    ]
    return StepShape(
        unit=rollout.n,
        ranks=ranks,
        actor_micro=1 if actor.use_dynamic_bsz else actor.ppo_micro_batch_size_per_gpu or 1,
        forward_micro=math.lcm(*forward),
    )


@contextmanager
def mini_batches(config: DictConfig, *, rows: int, updates: int) -> Iterator[None]:
    """Inside, `rows` are cut into `updates` mini-batches: veRL reads their size from the configuration alone."""
    actor, usual = config.actor_rollout_ref.actor, config.actor_rollout_ref.actor.ppo_mini_batch_size
    actor.ppo_mini_batch_size = rows // (updates * config.actor_rollout_ref.rollout.n)
    try:
        yield
    finally:
        actor.ppo_mini_batch_size = usual
