"""How guidance is rewarded. The defaults are the published reward: the agent's score."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RewardRules(BaseModel):
    """What one guidance earns, and under which seeds its agent runs.

    All guidances of one prompt in one training step run under the same seeds, so their differences are theirs alone
    wherever the agent honours seeds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    runs: int = Field(1, ge=1, description="Agent runs of each guidance; the reward is made of their mean.")
    subtract_baseline: bool = Field(
        False, description="Reward the gain: less the agent's score without guidance under the same seeds."
    )
    token_cost: float = Field(0.0, ge=0, description="Taken from the reward for each token of the guidance.")
    cap: int | None = Field(None, ge=1, description="Tokens of a guidance that the agent is given; the rest is cut.")
    seed: int = Field(0, description="The agent's seeds derive from it.")
    seed_pool: int | None = Field(
        None,
        ge=1,
        description="So many sets of seeds a task has, one drawn for each step: 1 never changes them, and runs with "
        "known guidance come from the store. Without it, each step has new ones.",
    )
    deadline_s: float = Field(
        1800.0, gt=0, description="Seconds that a guidance may wait and run; then it is ungraded."
    )
