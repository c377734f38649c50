"""The driver's side: which worker learns from pairs, which optimizer step comes next, where scores are logged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ray
from omegaconf import DictConfig
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.utils import Role
from verl.utils.device import get_device_name

from cleartrace.data.files import write_json
from cleartrace_verl.context.checks import context_config
from cleartrace_verl.preference_steps import PairStepTrainer

STATE_FILE = "context.json"
ACTOR_ROLES = (Role.Actor, Role.ActorRollout, Role.ActorRolloutRef)
START = "actor/ca/start/"


class ContextTrainer(PairStepTrainer):
    """With `actor_rollout_ref.context_rl` off, or a coefficient of 0, every worker is what it would be without this."""

    def __init__(self, config: Any):
        super().__init__(config)
        self._learns_contexts = context_config(config.actor_rollout_ref).active
        self._optimizer_steps = 0
        """Of the whole run so far: the stream of pairs is a pure function of it (W11)."""

    def _init_resource_pool_mgr(self) -> None:
        super()._init_resource_pool_mgr()
        from cleartrace_verl.workers import CpuActorRolloutRefWorker, CpuTrainingWorker

        if get_device_name() == "cpu":
            for role in self.role_worker_mapping:
                worker = CpuTrainingWorker if role is Role.Critic else CpuActorRolloutRefWorker
                self.role_worker_mapping[role] = ray.remote(worker)
        if self._learns_contexts:
            from cleartrace_verl.context.worker import ContextActorRolloutRefWorker

            for role in ACTOR_ROLES:
                if role in self.role_worker_mapping:
                    self.role_worker_mapping[role] = ray.remote(ContextActorRolloutRefWorker)

    def _update_actor(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        if not self._learns_contexts:
            return super()._update_actor(batch, metrics)
        from cleartrace_verl.context.worker import SCORE_KEY, STEP_KEY, Score

        score = Score.of(before=self.global_steps == 1, after=self._scores_after())
        batch.extra_info = {**(batch.extra_info or {}), STEP_KEY: self._optimizer_steps, SCORE_KEY: score.value}
        batch = super()._update_actor(batch, metrics)
        self._optimizer_steps += self._updates_of(batch)
        self._log_start(metrics)
        return batch

    def _scores_after(self) -> bool:
        every = self.config.trainer.test_freq
        return self.global_steps >= self.total_training_steps or (every > 0 and self.global_steps % every == 0)

    def _updates_of(self, batch: KVBatchMeta) -> int:
        return (
            self._updates or len(batch) // _mini_batch(self.config)
        ) * self.config.actor_rollout_ref.actor.ppo_epochs

    def _log_start(self, metrics: dict) -> None:
        """Scores from before the first update belong to step 0."""
        start = {key: metrics.pop(key) for key in list(metrics) if key.startswith(START)}
        if start:
            renamed = {f"actor/ca/{key.removeprefix(START)}": value for key, value in start.items()}
            self.logger.log(data=renamed, step=0)

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        state = self._step_folder() / STATE_FILE
        if self.global_steps and state.exists():
            self._optimizer_steps = json.loads(state.read_text())["optimizer_steps"]
        elif self.global_steps:
            # A checkpoint of a run without pairs: as many steps as veRL makes when no step is filled up.
            self._optimizer_steps = self.global_steps * _updates_per_step(self.config)

    def _save_checkpoint(self) -> None:
        if self._learns_contexts:  # first: veRL ends with the mark that says the checkpoint is whole
            write_json(self._step_folder() / STATE_FILE, {"optimizer_steps": self._optimizer_steps})
        super()._save_checkpoint()

    def _step_folder(self) -> Path:
        return Path(self.config.trainer.default_local_dir) / f"global_step_{self.global_steps}"


def _mini_batch(config: DictConfig) -> int:
    return config.actor_rollout_ref.actor.ppo_mini_batch_size * config.actor_rollout_ref.rollout.n


def _updates_per_step(config: DictConfig) -> int:
    rows = config.data.train_batch_size * config.actor_rollout_ref.rollout.n
    return -(-rows // _mini_batch(config)) * config.actor_rollout_ref.actor.ppo_epochs
