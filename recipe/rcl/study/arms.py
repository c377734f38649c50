"""Arms of the study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cleartrace.environments.ruleworld import Drafting, Habits, Insight, Options, World
from cleartrace.learn.accept import AcceptancePolicy, Always, Credited, Paired, Pareto, Validation

Policy = Callable[[World], AcceptancePolicy]


class Group(str, Enum):
    """What is compared."""

    PLAIN = "the loop"
    PRIMITIVE = "one primitive"
    ALL = "all primitives"
    OURS = "our options"


@dataclass(frozen=True)
class Arm:
    """Settings of the loop, and of the world that they are tried in.

    Args:
        settings: of `RclConfig`; everything else is as published.
        cites: agents cite entries in every run, as ours do, and not in probes alone (R5).
    """

    name: str
    group: Group
    settings: dict[str, Any] = field(default_factory=dict)
    policy: Policy = lambda world: Always()
    cites: bool = False
    world: Options = field(default_factory=Options)
    habits: Habits = field(default_factory=Habits)
    insight: Insight = field(default_factory=Insight)
    drafting: Drafting = field(default_factory=Drafting)


MINI_BATCH = {"mini_batch": 3}
BATCHED = {**MINI_BATCH, "batched_reflection": True}
GROUPS = {"group_size": 3}
DUAL = {"dual_trace": True}
AUXILIARY = {"auxiliary_losses": True}
REPLAY = {"failure_replay_ratio": 0.5}
STATE = {"use_optimization_state": True}
PRUNING = {"prune_threshold": 3}
ALL = {**BATCHED, **GROUPS, **DUAL, **AUXILIARY, **REPLAY, **STATE, **PRUNING}
BUDGET = {"playbook_budget": 600}

ARMS = (
    Arm("plain", Group.PLAIN),
    Arm("mini-batch", Group.PRIMITIVE, MINI_BATCH),
    Arm("batched-reflection", Group.PRIMITIVE, BATCHED),
    Arm("grouped-rollouts", Group.PRIMITIVE, GROUPS),
    Arm("dual-trace", Group.PRIMITIVE, DUAL),
    Arm("auxiliary", Group.PRIMITIVE, AUXILIARY),
    Arm("failure-replay", Group.PRIMITIVE, REPLAY),
    Arm("optimiser-state", Group.PRIMITIVE, STATE),
    Arm("pruning", Group.PRIMITIVE, PRUNING),
    Arm("all", Group.ALL, ALL),
    Arm("paired", Group.OURS, policy=lambda world: Paired()),
    Arm("credit-pruning", Group.OURS, policy=lambda world: Credited(Always(), world.tasks("train")), cites=True),
    Arm("token-budget", Group.OURS, BUDGET),
    Arm("citations-and-pruning", Group.OURS, PRUNING, cites=True),
    Arm("validation", Group.OURS, policy=lambda world: Validation(world.tasks("val"))),
    Arm("pareto", Group.OURS, policy=lambda world: Pareto(world.tasks("val"))),
    Arm("auxiliary-paired", Group.OURS, {**MINI_BATCH, **AUXILIARY}, policy=lambda world: Paired()),
    Arm("all-paired", Group.OURS, ALL, policy=lambda world: Paired()),
)
BY_NAME = {arm.name: arm for arm in ARMS}
