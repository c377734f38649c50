"""The methods of figure 5. All but the base model take the same number of optimizer steps on the same tasks."""

from __future__ import annotations

from dataclasses import dataclass

DATA = "runs/figure5/data"


@dataclass(frozen=True)
class Arm:
    """One method.

    Args:
        name: in file names.
        method: in the figure, by the names of `cleartrace.probe.figure5`.
        overrides: of the GRPO run.
        sft: begin from a model that was fine-tuned on the pairs' letters.
        trains: or only solves the held-out tasks.
    """

    name: str
    method: str
    overrides: tuple[str, ...] = ()
    sft: bool = False
    trains: bool = True


_ROLLOUT = "actor_rollout_ref.rollout"
_ACTOR = "actor_rollout_ref.actor"

ARMS = (
    Arm("base", "Base", ("trainer.val_only=true",), trains=False),
    Arm("rl", "RL"),
    Arm("da-sft", "DA-SFT", sft=True),
    # Six prompts a step in place of four: the tasks of the other arms and as many rows of pairs as their context pass.
    Arm(
        "da-rl",
        "DA-RL",
        (
            f"data.train_files=[{DATA}/tasks.parquet,{DATA}/da_rl.parquet]",
            "data.train_batch_size=6",
            f"{_ACTOR}.ppo_mini_batch_size=6",
            f"{_ACTOR}.ppo_micro_batch_size_per_gpu=24",
            f"{_ROLLOUT}.log_prob_micro_batch_size_per_gpu=24",
        ),
    ),
    Arm("contextrl", "Ours", ("actor_rollout_ref.context_rl.enable=true",)),
)

BY_NAME = {arm.name: arm for arm in ARMS}
