"""veRL's synchronous V1 trainer, plus what happened inside the trajectories."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence, Sized
from pathlib import Path
from typing import Any, cast

import transfer_queue as tq
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from cleartrace.losses.options import Mode
from cleartrace.purify.config import Correction
from cleartrace.purify.counters import TrajectoryCounters
from cleartrace.purify.metrics import aggregate, engine_gap_metrics, gap_metrics
from cleartrace_verl.batch import column, real_keys
from cleartrace_verl.context.trainer import ContextTrainer
from cleartrace_verl.guidance import guidance_metrics
from cleartrace_verl.policy_folder import make_portable
from cleartrace_verl.preference import apply_preferences
from cleartrace_verl.run_files import JsonLines, MetricsLogger
from cleartrace_verl.spliced import correct_spliced
from cleartrace_verl.step_rules import (
    check_refill,
    is_left_out,
    is_spoiled,
    isolated_uids,
    last_step,
    owes_validation,
    score_metrics,
)
from cleartrace_verl.template_check import require_template
from cleartrace_verl.totals import Totals
from cleartrace_verl.validation import arm_metrics

STATE_FILE = "cleartrace.json"
LOG_PROBS = ("old_log_probs", "rollout_log_probs")


class CleartraceTrainer(ContextTrainer):
    """Counts, records and masks; the algorithm is veRL's.

    Adds to each step the metrics of `cleartrace.purify.metrics`, writes every trajectory, takes rollouts that an
    infrastructure failure spoiled out of the loss and out of their group's baseline, and stops at a token budget.
    """

    def __init__(self, config: Any):
        super().__init__(config)
        self._run_dir = Path(config.cleartrace.run_dir)
        self._token_budget: int | None = config.cleartrace.token_budget
        self._totals = Totals()
        self._refilled = 0
        self._trajectories = JsonLines(self._run_dir / "trajectories.jsonl")
        self._events = JsonLines(self._run_dir / "events.jsonl")

    # --- set-up -------------------------------------------------------------------------------------------------

    def _init_tokenizer(self) -> None:
        super()._init_tokenizer()
        if self.processor is None:  # the agent loop refuses what is not text by itself
            require_template(self.tokenizer, self.config)

    def _build_replay_buffer(self) -> ReplayBuffer:
        buffer = super()._build_replay_buffer()
        buffer.poll_interval = float(self.config.cleartrace.poll_interval_s)
        return buffer

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        if self.global_steps:
            state = self._step_folder() / STATE_FILE
            if state.exists():
                self._totals = Totals.load(state)
            self._make_portable()  # a run that was killed after its checkpoint has not come to it
        # Without a checkpoint the run begins anew, and so does its evaluation of step 0.
        kept_until = self.global_steps if self.global_steps else -1
        metrics = JsonLines(self._run_dir / "metrics.jsonl")
        for file in (self._trajectories, metrics, self._events):
            file.drop_after(kept_until)
        if self.global_steps:
            self._make_up_for_validation(metrics)

    def _make_up_for_validation(self, metrics: JsonLines) -> None:
        """veRL validates after its checkpoint; before going on, it can validate at the step of the checkpoint."""
        step, every = self.global_steps, self.config.trainer.test_freq
        if owes_validation(metrics.rows(), step=step, total=self.total_training_steps, every=every):
            self._trajectories.drop(lambda row: row["step"] == step and row["split"] == "val")
            self.config.trainer.val_before_train = True

    def _save_checkpoint(self) -> None:
        # First: veRL ends with the mark that says the checkpoint is whole.
        self._totals.save(self._step_folder() / STATE_FILE)
        super()._save_checkpoint()
        self._make_portable()

    def _make_portable(self) -> None:
        make_portable(self._step_folder() / "actor" / "huggingface")

    def _note(self, event: str) -> None:
        self.logger.logger.setdefault("cleartrace", MetricsLogger(self._run_dir / "metrics.jsonl"))
        self._events.append([{"step": self.global_steps, "event": event, "total": self.total_training_steps}])

    def on_validate_begin(self) -> None:
        super().on_validate_begin()
        self._note("validate")

    def on_train_begin(self) -> None:
        super().on_train_begin()
        self._note("train")

    def prepare_step(self) -> dict:
        self._refilled = 0
        return super().prepare_step()

    def _add_prompts_to_generate(self, num_prompts: int) -> int:
        self._refilled += num_prompts
        limit = OmegaConf.select(self.config, "algorithm.filter_groups.max_num_gen_batches") or 0
        check_refill(refilled=self._refilled, batch=self.config.data.train_batch_size, limit=limit)
        return super()._add_prompts_to_generate(num_prompts)

    # --- one step -----------------------------------------------------------------------------------------------

    def step(self, metrics: dict, timing_raw: dict) -> KVBatchMeta:
        batch = super().step(metrics, timing_raw)
        rows = self._rollouts(batch)
        counters = [TrajectoryCounters(**fields["saar"]) for fields in rows]
        self._totals = self._totals.plus(counters)
        graded = [fields["reward_extra_info"] for fields in rows if not is_spoiled(fields)]
        metrics.update({**aggregate(counters), **score_metrics(graded), **self._totals.metrics()})
        gaps = [fields.get("saar_gap", []) for fields in rows]
        metrics.update(engine_gap_metrics(gaps, [fields["saar_spliced_mask"] for fields in rows]))
        metrics.update(guidance_metrics([fields["reward_extra_info"] for fields in rows]))
        metrics["cleartrace/masked_trajectories"] = len(rows) - len(graded)
        # veRL logs a rollout that raised, and trains on the others. Rows of other agent loops count too.
        asked = self.config.data.train_batch_size * self.config.actor_rollout_ref.rollout.n
        came = {key.rpartition("_")[0] for key in real_keys(batch)}
        metrics["cleartrace/lost_trajectories"] = max(asked - len(came), 0)
        self._stop_at_budget(sum(c.generated_tokens for c in counters))
        return batch

    def _stop_at_budget(self, generated: int) -> None:
        self.total_training_steps = last_step(
            step=self.global_steps,
            total=self.total_training_steps,
            generated=self._totals.generated_tokens,
            last=generated,
            budget=self._token_budget,
        )

    @staticmethod
    def _rollouts(batch: KVBatchMeta) -> list[dict[str, Any]]:
        """`extra_fields` of the real rows."""
        data = tq.kv_batch_get(
            keys=real_keys(batch), partition_id=str(batch.partition_id), select_fields=["extra_fields"]
        )
        return [fields for fields in column(data, "extra_fields") if "saar" in fields]

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        batch = super()._compute_old_log_prob(batch, metrics)
        if self.config.actor_rollout_ref.rollout.calculate_log_probs:
            data = tq.kv_batch_get(
                keys=real_keys(batch),
                partition_id=str(batch.partition_id),
                select_fields=[*LOG_PROBS, "response_mask", "extra_fields"],
            )
            masks = [fields.get("saar_spliced_mask", []) for fields in column(data, "extra_fields")]
            old, sampled, trained = (
                [row.float().numpy() for row in data[name].unbind()] for name in (*LOG_PROBS, "response_mask")
            )
            metrics.update(gap_metrics(old, sampled, masks, trained))
        return batch

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        # Written before the update, so that the rollouts of a failing step can be looked at.
        self._write("train", self._rollouts(batch))
        self._isolate_left_out(batch)
        batch = super()._compute_advantage(batch, metrics)
        with_log_probs = bool(self.config.actor_rollout_ref.rollout.calculate_log_probs)
        weighted = with_log_probs and bool(OmegaConf.select(self.config, "algorithm.rollout_correction.rollout_is"))
        metrics.update(correct_spliced(batch, self._saar, with_log_probs=with_log_probs, weighted=weighted))
        if self._saar.negatives.mode is not Mode.OFF:
            weighted = weighted or self._saar.correction is not Correction.NONE
            reference = bool(self.use_reference_policy)
            metrics.update(apply_preferences(batch, self._saar.negatives, with_reference=reference, weighted=weighted))
        return batch

    @staticmethod
    def _isolate_left_out(batch: KVBatchMeta) -> None:
        """Take rollouts that are not learned from out of the groups whose baseline they would spoil.

        Masked and dropped ones have no tokens in the loss. Ungraded ones score 0 in a group of their own: their
        advantage is 0.
        """
        data = tq.kv_batch_get(
            keys=batch.keys, partition_id=str(batch.partition_id), select_fields=["uid", "extra_fields"]
        )
        uids, fields = column(data, "uid"), column(data, "extra_fields")
        alone = [is_left_out(f) for f in fields]
        if not any(alone):
            return
        fresh = isolated_uids(uids, alone)
        stack = list_of_dict_to_tensordict([{"uid": uid} for uid in fresh])
        tq.kv_batch_put(keys=batch.keys, partition_id=str(batch.partition_id), fields=stack)

    # --- records ------------------------------------------------------------------------------------------------

    def _write(self, split: str, rows: Iterable[dict[str, Any]]) -> None:
        self._trajectories.append(
            self._record(split, fields["trajectory"], fields["reward_extra_info"]) for fields in rows
        )

    def _record(self, split: str, record: str, graded: dict[str, Any]) -> dict[str, Any]:
        trajectory = json.loads(record)
        return {
            **trajectory,
            "masked": trajectory["masked"] or bool(graded.get("ungraded")),
            "run": self.config.trainer.experiment_name,
            "step": self.global_steps,
            "split": split,
            "prediction": graded.get("pred"),
            "reward": graded["score"] + graded.get("overlong_penalty", 0.0),
            "acc": bool(graded["acc"]),
        }

    def _val_metrics_update(
        self,
        data_sources: Sequence[str],
        sample_uids: Sequence[str],
        reward_extra_infos_dict: dict[str, list],
        sample_turns: Sequence[int],
        **kwargs: Any,
    ) -> dict[str, float]:
        infos = dict(reward_extra_infos_dict)
        texts = infos.pop("trajectory", [])
        rows = []
        for i, text in enumerate(texts):
            if text:
                rows.append(self._record("val", text, {name: values[i] for name, values in infos.items()}))
        self._trajectories.append(rows)
        metrics = super()._val_metrics_update(data_sources, sample_uids, infos, sample_turns, **kwargs)
        own = arm_metrics(rows)
        if rows:
            asked = len(cast(Sized, self.val_dataset)) * self.config.actor_rollout_ref.rollout.val_kwargs.n
            own["cleartrace/val/lost_trajectories"] = max(asked - len(sample_uids), 0)
        own["cleartrace/generated_tokens_cum"] = self._totals.generated_tokens
        return {**metrics, **own}
