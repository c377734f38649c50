"""What the loop is put together from: everything that runs, reflects, edits or judges comes from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cleartrace.agents.protocol import EpisodeRunner
from cleartrace.context.playbook.leak import LeakGuard
from cleartrace.context.playbook.types import Playbook
from cleartrace.context.provider import ContextProvider
from cleartrace.episodes.types import Task
from cleartrace.learn.accept import AcceptancePolicy
from cleartrace.learn.memory.memory import OptimizerMemory
from cleartrace.learn.protocol import Mutator, Reflector
from cleartrace.learn.rcl.config import Perturbation

Provide = Callable[[Playbook], ContextProvider]
Perturb = Callable[[ContextProvider, Perturbation], ContextProvider]


@dataclass(frozen=True)
class Parts:
    """One set for one run.

    Args:
        train, validation: tasks; none in both.
        provide: the provider that shows a playbook to the agent.
        probe: adds instructions, and marks the context as a probe.
        instruct: adds the same instructions to a run that counts.
        memory: needed exactly with `use_optimization_state`.
        guard: knows what no edit may say; needed exactly with `leak_guard`.
        domain: facts that a run cannot be continued under other values of: agent, models, environment.
    """

    train: Sequence[Task]
    runner: EpisodeRunner
    reflector: Reflector
    mutator: Mutator
    provide: Provide
    acceptance: AcceptancePolicy
    probe: Perturb | None = None
    instruct: Perturb | None = None
    validation: Sequence[Task] = ()
    memory: OptimizerMemory | None = None
    guard: LeakGuard | None = None
    domain: Mapping[str, Any] = field(default_factory=dict)
