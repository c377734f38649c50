"""ACE-style learning (arXiv 2510.04618): one task after another, entries only ever added.

For each task: run; while it fails, reflect and run again with the reflection beside the playbook, up to `max_rounds`
times; count the reflector's verdicts on the entries the agent cited, which are all that the reflector sees; let the
curator add entries. Counts inform the curator and prune nothing. What differs from the published program: every run is
an agent's run in an environment, not one answer to a question.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from statistics import fmean

from cleartrace.agents.protocol import EpisodeRunner, RunRequest
from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.counts import count
from cleartrace.context.playbook.rules import Rules
from cleartrace.context.playbook.types import Playbook, Source
from cleartrace.context.provider import ContextProvider
from cleartrace.episodes.types import Context, Episode, PartKind, PartRef, Record, Task
from cleartrace.learn.protocol import Mutator, Reflection, Reflector, Signal

ProviderOf = Callable[[Playbook], ContextProvider]


class AceMode(str, Enum):
    """Offline learns on train tasks and keeps the playbook that validates best; online is tested before it learns."""

    OFFLINE = "offline"
    ONLINE = "online"


class AceConfig(Record):
    """Published defaults.

    Args:
        curator_frequency: tasks between two calls of the curator.
        validate_every: tasks between two validations, offline.
        window: tasks that are tested before any of them is learned from, online.
    """

    mode: AceMode = AceMode.OFFLINE
    epochs: int = 1
    max_rounds: int = 3
    curator_frequency: int = 1
    validate_every: int = 100
    window: int = 15
    seed: int = 42


@dataclass(frozen=True)
class AceStep:
    """One task learned from. `first`: score before anything was learned from it, None when it had none."""

    task_id: str
    first: float | None
    rounds: int
    cited: tuple[str, ...]
    added: int
    refused: int


@dataclass(frozen=True)
class AceResult:
    """`tested`: (task, score or None) before learning from it, online. `validations`: (after how many tasks, score)."""

    playbook: Playbook
    last: Playbook
    steps: tuple[AceStep, ...]
    validations: tuple[tuple[int, float], ...] = ()
    tested: tuple[tuple[str, float | None], ...] = ()


@dataclass
class Ace:
    """The loop. `provider_of` shows a playbook to the agent with ids that it is asked to cite."""

    runner: EpisodeRunner
    reflector: Reflector
    curator: Mutator
    provider_of: ProviderOf
    config: AceConfig = field(default_factory=AceConfig)
    rules: Rules = field(default_factory=lambda: Rules(add_only=True))

    async def learn(
        self,
        playbook: Playbook,
        tasks: Sequence[Task],
        validation: Sequence[Task] = (),
        tell: Callable[[AceStep], None] = lambda step: None,
    ) -> AceResult:
        """Raises `LLMError`, `BudgetExhausted` among them; what was learned until then is told step by step."""
        if self.config.mode is AceMode.ONLINE:
            return await self._online(playbook, tasks, tell)
        order = [task for epoch in range(self.config.epochs) for task in self._shuffled(tasks, epoch)]
        best, best_score, validations, steps = playbook, -1.0, [], []
        for position, task in enumerate(order, 1):
            playbook, step = await self._step(playbook, task, position)
            steps.append(step)
            tell(step)
            if validation and (position % self.config.validate_every == 0 or position == len(order)):
                score = await self._score(playbook, validation)
                validations.append((position, score))
                if score > best_score:
                    best, best_score = playbook, score
        return AceResult(best if validation else playbook, playbook, tuple(steps), tuple(validations))

    async def _online(self, playbook: Playbook, tasks: Sequence[Task], tell: Callable[[AceStep], None]) -> AceResult:
        order, tested, steps = self._shuffled(tasks, 0), [], []
        for start in range(0, len(order), self.config.window):
            window = order[start : start + self.config.window]
            episodes = await self._run(self.provider_of(playbook), window)
            tested += [(one.task_id, one.outcome.score) for one in episodes]
            for position, task in enumerate(window, start + 1):
                playbook, step = await self._step(playbook, task, position)
                steps.append(step)
                tell(step)
        return AceResult(playbook, playbook, tuple(steps), (), tuple(tested))

    def _shuffled(self, tasks: Sequence[Task], epoch: int) -> list[Task]:
        order = list(tasks)
        random.Random(f"{self.config.seed}:ace:{epoch}").shuffle(order)
        return order

    async def _step(self, playbook: Playbook, task: Task, position: int) -> tuple[Playbook, AceStep]:
        provider = self.provider_of(playbook)
        [episode] = await self._run(provider, [task])
        first, reflections, rounds = episode.outcome.score, [], 0
        cited: dict[str, None] = {}
        last = episode
        while episode.outcome.scored:
            last = episode
            shown = _cited(playbook, episode)
            cited.update((entry.id, None) for entry in shown.entries)
            reflected = await self.reflector.reflect([_signal(task, episode)], shown, self.config.seed)
            reflections += reflected
            playbook = count(playbook, [verdict for one in reflected for verdict in one.verdicts]).playbook
            if episode.outcome.passed or rounds == self.config.max_rounds:
                break
            rounds += 1
            [episode] = await self._run(Beside(provider, _advice(reflected)), [task])
        playbook, added, refused = await self._curate(playbook, task, last, reflections, position)
        return playbook, AceStep(task.id, first, rounds, tuple(cited), added, refused)

    async def _curate(
        self, playbook: Playbook, task: Task, episode: Episode, reflections: Sequence[Reflection], position: int
    ) -> tuple[Playbook, int, int]:
        """`episode`: the last that has a score, where there are reflections."""
        if not reflections or position % self.config.curator_frequency:
            return playbook, 0, 0
        signals = [_signal(task, episode)]
        proposal = await self.curator.propose(playbook, signals, reflections, "", self.config.seed)
        source = Source(iteration=position, tasks=(task.id,), episodes=(episode.id,), reason=proposal.summary)
        done = apply(playbook, proposal.operations, self.rules, source)
        return done.playbook, len(done.applied), len(done.rejected) + len(proposal.refused)

    async def _score(self, playbook: Playbook, tasks: Sequence[Task]) -> float:
        """Mean score; a run without one counts 0, so that an outage makes no playbook the best."""
        episodes = await self._run(self.provider_of(playbook), tasks)
        return fmean(one.outcome.score or 0.0 for one in episodes)

    async def _run(self, provider: ContextProvider, tasks: Sequence[Task]) -> list[Episode]:
        return await self.runner.run([RunRequest(task, self.config.seed, provider) for task in tasks])


@dataclass(frozen=True)
class Beside:
    """A provider's context with further text after it."""

    provider: ContextProvider
    text: str

    @property
    def hash(self) -> str:
        return Context(text=f"{self.provider.hash}\n{self.text}").digest

    async def context_for(self, task: Task, seed: int) -> Context:
        shown = await self.provider.context_for(task, seed)
        part = PartRef(kind=PartKind.TEXT, id="reflection")
        text = "\n\n".join(filter(None, (shown.text, self.text)))
        return shown.model_copy(
            update={"text": text, "parts": (*shown.parts, part), "provider_hash": self.hash, "abstained": not text}
        )


def _signal(task: Task, episode: Episode) -> Signal:
    return Signal(task=task, episodes=(episode,))


def _cited(playbook: Playbook, episode: Episode) -> Playbook:
    """Only what the agent said it used: the reflector sees nothing else."""
    ids = {one.id for one in episode.trajectory.citations}
    return playbook.model_copy(update={"entries": tuple(entry for entry in playbook.entries if entry.id in ids)})


def _advice(reflections: Sequence[Reflection]) -> str:
    analyses = "\n\n".join(one.analysis for one in reflections)
    return f"An earlier attempt at this task failed. What was learned from it:\n\n{analyses}"
