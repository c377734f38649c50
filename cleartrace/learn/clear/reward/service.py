"""Scores guidances by running the agent. Runs are shared through the store: none is made twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.runner import Runner
from cleartrace.agents.workplace import Workplace
from cleartrace.context.providers.base import cut_to
from cleartrace.context.providers.simple import Empty, Static
from cleartrace.context.providers.written import guidance_in
from cleartrace.episodes.identity import RunKey, context_hash
from cleartrace.episodes.types import Episode, FailureKind, Task
from cleartrace.learn.clear.reward.options import RewardRules
from cleartrace.learn.clear.reward.rule import agent_seeds, reward
from cleartrace.learn.clear.reward.types import Ask, Graded, Stats
from cleartrace.llm.protocol import BudgetExhausted
from cleartrace.llm.tokens import count_tokens


class AskError(ValueError):
    """A request that no waiting mends: another environment, an unknown task, no step."""


@dataclass(frozen=True)
class _Said:
    """What the agent is given, and what it is compared with."""

    text: str
    cut: bool
    requests: tuple[RunRequest, ...]
    baseline: tuple[RunRequest, ...]


class RewardService:
    """For one environment and one agent; used from one event loop.

    Args:
        tasks: of the environment, as its agents see them.
    """

    def __init__(self, runner: Runner, tasks: Sequence[Task], rules: RewardRules) -> None:
        self.rules, self.agent = rules, runner.agent.hash
        self._runner = runner
        self._tasks = {(task.environment, task.id): task for task in tasks}
        self._flying: Counter[RunKey] = Counter()
        self.stats = Stats()

    @classmethod
    def at(cls, place: Workplace, rules: RewardRules) -> RewardService:
        return cls(place.runner, place.tasks, rules)

    async def grade(self, ask: Ask) -> Graded:
        """Run the agent, or look up what it did. Cancelling it ends the runs that nobody else waits for.

        Raises:
            AskError: the request cannot be answered, now or later.
        """
        self._count(asked=1)
        try:
            said = self._said(ask)
        except ValueError as error:
            self._count(refused=1)
            raise AskError(str(error)) from None
        try:
            graded = await asyncio.wait_for(self._grade(said), self.rules.deadline_s)
        except asyncio.CancelledError:
            self._count(cancelled=1)
            raise
        except asyncio.TimeoutError:
            message = f"not graded within {self.rules.deadline_s:g} s: more workers, or a longer deadline_s"
            graded = _ungraded(said, "deadline", message, FailureKind.ENGINE)
        except BudgetExhausted as error:
            graded = _ungraded(said, FailureKind.BUDGET.value, str(error), FailureKind.BUDGET)
        self._note(graded)
        return graded

    def _said(self, ask: Ask) -> _Said:
        known = self._tasks.get((ask.task.environment, ask.task.id))
        if known is None:
            raise ValueError(f"there is no task {ask.task.id} of {ask.task.environment} here")
        if known.input != ask.task.input:
            raise ValueError(
                f"task {known.id} reads otherwise here: the prompts were written with other options of the environment"
            )
        wrote = guidance_in(ask.guidance)
        text = cut_to(wrote, self.rules.cap)
        empty = Empty()
        provider = Static(text) if text else empty
        seeds = agent_seeds(self.rules, known, ask.step)
        return _Said(
            text=text,
            cut=text != wrote,
            requests=tuple(RunRequest(known, seed, provider) for seed in seeds),
            baseline=tuple(RunRequest(known, seed, empty) for seed in seeds) if self.rules.subtract_baseline else (),
        )

    async def _grade(self, said: _Said) -> Graded:
        # Abstaining is the baseline: its runs are the same ones, and are made once.
        wanted = said.requests if not said.text else (*said.requests, *said.baseline)
        keys = [await self._key(request) for request in wanted]
        hits = sum(map(self._is_known, keys))
        self._flying.update(keys)
        try:
            episodes = await self._runner.run(wanted)
        finally:
            self._flying.subtract(keys)
            self._flying += Counter()
        if lost := next((one.outcome.failure for one in episodes if not one.outcome.scored), None):
            return _ungraded(said, lost.kind.value, lost.message, lost.kind)
        own = episodes[: len(said.requests)]
        without = own if not said.text else episodes[len(said.requests) :]
        scores, baseline = _scores(own), _scores(without) if said.baseline else []
        tokens = count_tokens(said.text)
        return Graded(
            reward=reward(self.rules, scores, baseline, tokens),
            score=sum(scores) / len(scores),
            baseline=sum(baseline) / len(baseline) if baseline else None,
            passed=all(one.outcome.passed for one in own),
            abstained=not said.text, said=said.text, tokens=tokens, cut=said.cut, runs=len(wanted), hits=hits,
        )  # fmt: skip

    async def _key(self, request: RunRequest) -> RunKey:
        context = await request.provider.context_for(request.task, request.seed)
        task = request.task
        return RunKey(task.environment, task.id, self.agent, context_hash(context), request.seed)

    def _is_known(self, key: RunKey) -> bool:
        """Whether the run was made, or is being made for somebody else."""
        store = self._runner.store
        return store is not None and (self._flying[key] > 0 or store.made(key) is not None)

    def _note(self, graded: Graded) -> None:
        self._count(runs=graded.runs, hits=graded.hits, abstained=graded.abstained)
        if not graded.ungraded:
            self._count(graded=1)
            return
        self._count(ungraded=1)
        kind = graded.error.partition(":")[0]
        failures = {**self.stats.failures, kind: self.stats.failures.get(kind, 0) + 1}
        self.stats = self.stats.model_copy(update={"failures": failures})

    def _count(self, **more: int) -> None:
        self.stats = self.stats.model_copy(update={name: getattr(self.stats, name) + n for name, n in more.items()})


def _scores(episodes: Sequence[Episode]) -> list[float]:
    return [one.outcome.score for one in episodes if one.outcome.score is not None]


def _ungraded(said: _Said, kind: str, message: str, failure: FailureKind) -> Graded:
    return Graded(
        ungraded=True, error=f"{kind}: {message}", blame=failure.blame.value, abstained=not said.text, said=said.text,
        tokens=count_tokens(said.text), cut=said.cut, runs=0,
    )  # fmt: skip
