"""The rule world without a model: simulated agent, scripted learners, exact chances."""

from __future__ import annotations

from collections.abc import Sequence

from cleartrace.agents.protocol import ExecutionAgent
from cleartrace.agents.runner import Runner
from cleartrace.environments.ruleworld import RuleWorld, ScriptedMutator, ScriptedReflector, SimulatedAgent
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Context, Episode, Task
from cleartrace.learn.facts import Facts
from cleartrace.learn.memory.memory import OptimizerMemory
from cleartrace.learn.rcl.config import RclConfig
from cleartrace.learn.rcl.parts import Parts
from cleartrace.learn.rcl.wiring import acceptance_of, providers
from cleartrace.llm.budget import Budget
from cleartrace.llm.ledger import Account, Ledger
from cleartrace.llm.protocol import BudgetExhausted, Role


class Charged:
    """An agent without a model whose runs are charged as if it had one.

    Raises:
        BudgetExhausted: from `run`, before a run that the budget does not hold.
    """

    def __init__(self, agent: ExecutionAgent, ledger: Ledger, budget: Budget | None = None) -> None:
        self._agent, self._ledger, self._budget = agent, ledger, budget

    @property
    def hash(self) -> str:
        return self._agent.hash

    async def run(self, task: Task, context: Context, seed: int) -> Episode:
        if self._budget is not None and (reason := self._budget.exhausted):
            raise BudgetExhausted(reason)
        episode = await self._agent.run(task, context, seed)
        self._ledger.add(Role.AGENT, Account(attempts=1, usage=episode.trajectory.usage))
        return episode


def simulated_parts(
    world: RuleWorld,
    config: RclConfig,
    *,
    train: Sequence[Task] | None = None,
    validation: Sequence[Task] = (),
    store: EpisodeStore | None = None,
    ledger: Ledger | None = None,
    budget: Budget | None = None,
) -> Parts:
    """Everything for `optimize` on a rule world.

    Args:
        train: tasks to learn from; the split `train` of the world for None.
        validation: none validates nothing.
        store: keeps every run; None keeps none, and is faster.
        ledger, budget: runs are charged and limited; words stand for tokens.
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
        runner=Runner(agent, store),
        reflector=ScriptedReflector(sim, auxiliary=config.auxiliary_losses, batched=config.batched_reflection),
        mutator=ScriptedMutator(sim),
        provide=provide,
        probe=probe,
        instruct=instruct,
        acceptance=acceptance_of(config, train, validation),
        memory=memory if config.use_optimization_state else None,
        domain={"agent": agent.hash},
    )
