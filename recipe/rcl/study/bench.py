"""One run of the study: RCL in a world of its own, with everything it costs counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from cleartrace.agents.protocol import RunRequest
from cleartrace.context.playbook.render import render
from cleartrace.context.playbook.types import Playbook
from cleartrace.environments.ruleworld import RuleWorld, ScriptedMutator, ScriptedReflector, SimulatedAgent, World
from cleartrace.episodes.types import Episode
from cleartrace.learn.facts import Facts
from cleartrace.learn.memory.memory import OptimizerMemory
from cleartrace.learn.protocol import Proposal, Reflection, Signal
from cleartrace.learn.rcl.config import RclConfig
from cleartrace.learn.rcl.loop import InMemory, optimize
from cleartrace.learn.rcl.parts import Parts
from cleartrace.learn.rcl.step import Done
from cleartrace.learn.rcl.wiring import providers
from cleartrace.llm.protocol import BudgetExhausted
from recipe.rcl.study.arms import Arm

FACTS = Facts(RuleWorld.name, RuleWorld.domain, dict(RuleWorld.sections))


@dataclass
class Spent:
    """Calls so far. A run of the agent is one model call; so is each reflection, mutation and state update."""

    runs: int = 0
    others: int = 0

    @property
    def calls(self) -> int:
        return self.runs + self.others


@dataclass(frozen=True)
class Point:
    """After an iteration. `success`: exact mean chance on the test tasks."""

    runs: int
    calls: int
    success: float


@dataclass
class Runner:
    """Makes runs at once, and counts them."""

    agent: SimulatedAgent
    spent: Spent

    async def run(self, requests: Sequence[RunRequest]) -> list[Episode]:
        self.spent.runs += len(requests)
        return [
            self.agent.episode(one.task, await one.provider.context_for(one.task, one.seed), one.seed)
            for one in requests
        ]


@dataclass
class CountedReflector:
    inner: ScriptedReflector
    spent: Spent

    async def reflect(self, signals: Sequence[Signal], playbook: Playbook, seed: int) -> tuple[Reflection, ...]:
        self.spent.others += 1
        return await self.inner.reflect(signals, playbook, seed)


@dataclass
class CountedMutator:
    inner: ScriptedMutator
    spent: Spent

    async def propose(
        self, playbook: Playbook, signals: Sequence[Signal], reflections: Sequence[Reflection], memory: str, seed: int
    ) -> Proposal:
        self.spent.others += 1
        return await self.inner.propose(playbook, signals, reflections, memory, seed)


@dataclass
class Curve(InMemory):
    """Measures the playbook after each iteration."""

    world: World
    spent: Spent
    points: list[Point] = field(default_factory=list)
    last: Playbook | None = None

    def commit(self, done: Done) -> None:
        if done.state.memory is not None and done.row.signals:
            self.spent.others += 1  # the published state update is a call
        playbook = done.state.playbook
        same = self.points and self.last is not None and playbook.entries == self.last.entries
        success = self.points[-1].success if same else true_success(self.world, playbook)
        self.last = playbook
        self.points.append(Point(self.spent.runs, self.spent.calls, success))


def true_success(world: World, playbook: Playbook, split: str | None = "test") -> float:
    """Exact mean chance on the tasks of a split, or on all."""
    return world.mean_success(world.tasks(split), render(playbook, count=len).text)


def learn(arm: Arm, seed: int, runs: int | None, iterations: int = 10_000) -> Curve:
    """One run of the arm until it has used up so many agent runs. Equal seeds are equal worlds in all arms."""
    world = World(seed, arm.world, arm.habits)
    spent = Spent()
    curve = Curve(world, spent)
    curve.points.append(Point(0, 0, true_success(world, Playbook())))
    config = RclConfig(seed=seed, iterations=iterations, skip_validation=True, **arm.settings)
    agent = SimulatedAgent(world, cites="always" if arm.cites else "probed")
    provide, probe, _ = providers(config)
    parts = Parts(
        train=world.tasks("train"),
        runner=Runner(agent, spent),
        reflector=CountedReflector(
            ScriptedReflector(world, arm.insight, auxiliary=config.auxiliary_losses, batched=config.batched_reflection),
            spent,
        ),
        mutator=CountedMutator(ScriptedMutator(world, arm.drafting), spent),
        provide=provide,
        acceptance=arm.policy(world),
        probe=probe,
        memory=OptimizerMemory(None, FACTS) if config.use_optimization_state else None,
    )

    def guard() -> None:
        # By the runs of finished iterations, so that none is broken off: it would have cost runs and taught nothing.
        if runs is not None and curve.points[-1].runs >= runs:
            raise BudgetExhausted(f"{runs} agent runs")

    asyncio.run(optimize(config, parts, store=curve, guard=guard))
    return curve
