"""The arms of the study. Each differs from `grpo` or from `cleaner` in one thing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cleartrace.purify import SaarConfig


class Group(str, Enum):
    """What an arm is compared for, and over how many seeds."""

    MAIN = "main"
    POLICY = "policy"
    GAMMA = "gamma"
    PROBABILITY = "probability"

    @property
    def seeds(self) -> int:
        return 5 if self is Group.MAIN else 3


@dataclass(frozen=True)
class Arm:
    """`saar`: options of `SaarConfig` on top of its published values; None trains without rollback."""

    name: str
    group: Group
    saar: dict[str, Any] | None = field(default_factory=dict)

    def overrides(self) -> list[str]:
        """Hydra overrides of a training run."""
        if self.saar is None:
            return ["actor_rollout_ref.rollout.multi_turn.enable_tool_rollback=false"]
        config = SaarConfig.published(**self.saar).model_dump(mode="json")
        plain = SaarConfig().model_dump(mode="json")
        # The quickstart sets min_budget_tokens, so that one is always said.
        changed = {k: v for k, v in config.items() if v != plain[k] or k == "min_budget_tokens"}
        return [f"actor_rollout_ref.rollout.custom.saar.{key}={_hydra(value)}" for key, value in changed.items()]


def _hydra(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


ARMS = (
    Arm("grpo", Group.MAIN, None),
    Arm("cleaner", Group.MAIN),
    Arm("cleaner-token-is", Group.MAIN, {"correction": "token_is"}),
    Arm("replace", Group.POLICY, {"policy": "replace"}),
    Arm("append-masked", Group.POLICY, {"policy": "append", "mask_failed": "call"}),
    Arm("importance", Group.POLICY, {"policy": "importance"}),
    Arm("tolerate-first", Group.POLICY, {"policy": "tolerate_first"}),
    Arm("gamma-0.3", Group.GAMMA, {"similarity_threshold": 0.3}),
    Arm("gamma-0.7", Group.GAMMA, {"similarity_threshold": 0.7}),
    Arm("p-0.5", Group.PROBABILITY, {"probability": 0.5}),
)
"""gamma 0.5 and p 1.0 are those of `cleaner`. `append` without its mask would be `grpo`."""

BY_NAME = {arm.name: arm for arm in ARMS}
