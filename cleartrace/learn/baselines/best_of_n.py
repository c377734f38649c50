"""Best-of-n: n playbooks, each one step from the seed, learned from different tasks; the best on validation wins.

What is left of an optimiser when nothing builds on anything: the control for every method that iterates.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from cleartrace.agents.protocol import EpisodeRunner, RunRequest
from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.rules import Rules
from cleartrace.context.playbook.types import Playbook, Source
from cleartrace.context.provider import ContextProvider
from cleartrace.episodes.types import Task
from cleartrace.learn.protocol import Mutator, Reflector, Signal


@dataclass(frozen=True)
class Candidate:
    """`score`: mean on the validation tasks, a run without a score counting 0. `runs`: agent runs it took."""

    playbook: Playbook
    score: float
    runs: int


@dataclass(frozen=True)
class BestOfN:
    """Raises `LLMError` from `learn`."""

    runner: EpisodeRunner
    reflector: Reflector
    mutator: Mutator
    provider_of: Callable[[Playbook], ContextProvider]
    rules: Rules
    n: int = 8
    batch_size: int = 5
    seed: int = 42

    async def learn(
        self,
        playbook: Playbook,
        tasks: Sequence[Task],
        validation: Sequence[Task],
        tell: Callable[[Candidate], None] = lambda candidate: None,
    ) -> tuple[Candidate, tuple[Candidate, ...]]:
        """(best, all), the seed playbook first. Ties go to the smaller playbook, then to the earlier one.

        Raises:
            ValueError: there are no validation tasks to choose by.
        """
        if not validation:
            raise ValueError("best-of-n chooses by validation tasks, and there are none; name a split that has some")
        found = [Candidate(playbook, await self._score(playbook, validation), len(validation))]
        tell(found[0])
        for number in range(self.n):
            found.append(await self._candidate(playbook, tasks, validation, number))
            tell(found[-1])
        best = min(found, key=lambda one: (-one.score, sum(len(entry.text) for entry in one.playbook.entries)))
        return best, tuple(found)

    async def _candidate(
        self, playbook: Playbook, tasks: Sequence[Task], validation: Sequence[Task], number: int
    ) -> Candidate:
        rng = random.Random(f"{self.seed}:best_of_n:{number}")
        batch = rng.sample(list(tasks), min(self.batch_size, len(tasks)))
        episodes = await self.runner.run([self._request(playbook, task) for task in batch])
        failed = [
            Signal(task=task, episodes=(one,))
            for task, one in zip(batch, episodes, strict=True)
            if one.outcome.scored and not one.outcome.passed
        ]
        if failed:
            seed = rng.randrange(2**31)
            reflections = await self.reflector.reflect(failed, playbook, seed)
            proposal = await self.mutator.propose(playbook, failed, reflections, "", seed)
            source = Source(iteration=number, tasks=tuple(one.task.id for one in failed), reason=proposal.summary)
            playbook = apply(playbook, proposal.operations, self.rules, source).playbook
        return Candidate(playbook, await self._score(playbook, validation), len(batch) + len(validation))

    async def _score(self, playbook: Playbook, tasks: Sequence[Task]) -> float:
        episodes = await self.runner.run([self._request(playbook, task) for task in tasks])
        return fmean(one.outcome.score or 0.0 for one in episodes)

    def _request(self, playbook: Playbook, task: Task) -> RunRequest:
        return RunRequest(task, self.seed, self.provider_of(playbook))
