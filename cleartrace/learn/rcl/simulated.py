"""The rule world without a model: simulated agent, scripted learners, exact chances."""

from __future__ import annotations

from collections.abc import Sequence

from cleartrace.agents.charged import Charged
from cleartrace.agents.protocol import ExecutionAgent
from cleartrace.agents.runner import Runner
from cleartrace.environments.ruleworld import RuleWorld, ScriptedMutator, ScriptedReflector, SimulatedAgent
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Task
from cleartrace.learn.facts import Facts
from cleartrace.learn.memory.memory import OptimizerMemory
from cleartrace.learn.rcl.config import RclConfig
from cleartrace.learn.rcl.parts import Parts
from cleartrace.learn.rcl.wiring import acceptance_of, providers
from cleartrace.llm.budget import Budget
from cleartrace.llm.ledger import Ledger


def simulated_parts(
    world: RuleWorld,
    config: RclConfig,
    *,
    train: Sequence[Task] | None = None,
    validation: Sequence[Task] = (),
    store: EpisodeStore | None = None,
    ledger: Ledger | None = None,
    budget: Budget | None = None,
    concurrency: int = 8,
    time_limit_s: float | None = None,
) -> Parts:
    """Everything for `optimize` on a rule world.

    Args:
        train: tasks to learn from; the split `train` of the world for None.
        validation: none validates nothing.
        store: keeps every run; None keeps none, and is faster.
        ledger, budget: runs are charged and limited; words stand for tokens.
        concurrency, time_limit_s: runs at a time; wall seconds of one.
    """
    train = world.tasks("train") if train is None else train
    sim = world.world
    agent: ExecutionAgent = SimulatedAgent(sim, cites="always" if config.pp else "probed")
    if ledger is not None:
        agent = Charged(agent, ledger, budget)
    facts = Facts(world.name, world.domain, dict(world.sections))
    memory = OptimizerMemory(None, facts, max_history=config.optimization_state_max_history)
    provide, probe, instruct = providers(config)
    return Parts(
        train=train,
        validation=validation,
        runner=Runner(agent, store, concurrency=concurrency, time_limit_s=time_limit_s),
        reflector=ScriptedReflector(sim, auxiliary=config.auxiliary_losses, batched=config.batched_reflection),
        mutator=ScriptedMutator(sim),
        provide=provide,
        probe=probe,
        instruct=instruct,
        acceptance=acceptance_of(config, train, validation),
        memory=memory if config.use_optimization_state else None,
        domain={"agent": agent.hash},
    )
