"""Which metrics are drawn, and which settings head the page. The only place that knows their names."""

from __future__ import annotations

from dataclasses import dataclass

VAL_ACC = "cleartrace/val/acc"
VAL_ON_ACC = "cleartrace/val_on/acc"
VAL_FIRST_CALL_FAILURE = "cleartrace/val/first_call_failure_rate"
STEP_TIME = "timing_s/step"
TRIGGERED = "rollback/global_triggered"
RECOVERED = "rollback/global_recovered"
GENERATED = "rollback/generated_tokens"
GENERATED_CUM = "cleartrace/generated_tokens_cum"
LOST = ("cleartrace/lost_trajectories", "cleartrace/val/lost_trajectories")


@dataclass(frozen=True)
class ChartSpec:
    """One small chart. `series` maps a legend label to a metric name."""

    title: str
    unit: str
    series: dict[str, str]
    percent: bool = False


CHARTS = (
    ChartSpec(
        "Solve rate",
        "solved",
        {"train": "cleartrace/train/acc", "held-out": VAL_ACC, "held-out, rollback on": VAL_ON_ACC},
        percent=True,
    ),
    ChartSpec("Failed calls", "failures per trajectory", {"train": "tool_calls/failures_per_trajectory"}),
    ChartSpec(
        "Tool calls",
        "calls",
        {
            "first attempts that succeed, train": "tool_calls/success_rate",
            "first calls that fail, held-out": VAL_FIRST_CALL_FAILURE,
        },
        percent=True,
    ),
    ChartSpec("Repairs", "positions per step", {"triggered": TRIGGERED, "recovered": RECOVERED}),
    ChartSpec(
        "Cost of rollback",
        "share",
        {"tokens discarded": "rollback/discard_ratio", "time of rollouts": "timing/rollback_share"},
        percent=True,
    ),
    ChartSpec(
        "Off-policy gap of spliced tokens", "nats", {"mean": "rollback/gap_mean", "mean size": "rollback/gap_abs_mean"}
    ),
    ChartSpec("Reward", "mean", {"reward": "critic/rewards/mean", "score": "critic/score/mean"}),
    ChartSpec("Step time", "seconds", {"step": STEP_TIME}),
    ChartSpec("Generated tokens", "tokens, cumulative", {"all sampled": GENERATED_CUM}),
    ChartSpec("Generated tokens per step", "tokens", {"all sampled": GENERATED}),
)

_SAAR = "actor_rollout_ref.rollout.custom.saar"
SETTINGS: dict[str, tuple[str, ...]] = {
    "Model": ("actor_rollout_ref.model.path",),
    "Advantage": ("algorithm.adv_estimator",),
    "Training steps": ("trainer.total_training_steps",),
    "Prompts per step": ("data.train_batch_size",),
    "Rollouts per prompt": ("actor_rollout_ref.rollout.n",),
    "Response limit (tokens)": ("data.max_response_length",),
    "Temperature": ("actor_rollout_ref.rollout.temperature",),
    "Learning rate": ("actor_rollout_ref.actor.optim.lr",),
    "Rollback": (f"{_SAAR}.enable",),
    "Rollback policy": (f"{_SAAR}.policy",),
    "Correction of spliced tokens": (f"{_SAAR}.correction",),
    "Retries per position": (f"{_SAAR}.max_retries",),
    "Graft threshold (gamma)": (f"{_SAAR}.similarity_threshold",),
    "Rollback probability": (f"{_SAAR}.probability",),
    "Seed": ("cleartrace.seed", "data.seed"),
}
"""Label to the dotted keys of config.yaml that may hold it, first match wins."""
