"""An agent whose behaviour a guidance decides, and a service around it."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from cleartrace.agents.runner import Runner
from cleartrace.environments.protocol import EnvironmentFault
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Context, Episode, Outcome, Task, Trajectory
from cleartrace.learn.clear.reward.options import RewardRules
from cleartrace.learn.clear.reward.service import RewardService
from cleartrace.learn.clear.reward.types import Ask

TASK = Task(environment="world", id="pay", input="Pay Ada.", group="payments")
OTHER = Task(environment="world", id="ask", input="Ask Ada.", group="questions")


class Puppet:
    """Passes with `good` in its context, and without any context on `OTHER`; `slow` takes 30 s, `broken` breaks the
    environment, `weak` does so once."""

    hash = "puppet"

    def __init__(self) -> None:
        self.runs: list[tuple[str, str, int]] = []
        self.now = self.most = self.ended_early = 0
        self.failed: Counter[str] = Counter()

    async def run(self, task: Task, context: Context, seed: int) -> Episode:
        self.runs.append((task.id, context.text, seed))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(30.0 if "slow" in context.text else 0.01)
        except asyncio.CancelledError:
            self.ended_early += 1
            raise
        finally:
            self.now -= 1
        self.failed[context.text] += 1
        if "broken" in context.text or ("weak" in context.text and self.failed[context.text] == 1):
            raise EnvironmentFault("the world is away")
        passed = "good" in context.text or (not context.text and task.id == OTHER.id)
        trajectory = Trajectory(
            environment=task.environment, task_id=task.id, agent=self.hash, seed=seed, context=context
        )
        return Episode(trajectory=trajectory, outcome=Outcome(score=float(passed)))


def service(
    folder: Path, agent: Puppet, *, concurrency: int = 8, time_limit_s: float | None = None, **rules: object
) -> RewardService:
    runner = Runner(
        agent,
        EpisodeStore(folder),
        concurrency=concurrency,
        time_limit_s=time_limit_s,
        infra_retries=1,
        retry_wait_s=0.01,
    )
    return RewardService(runner, [TASK, OTHER], RewardRules.model_validate(rules))


def ask(guidance: str, step: int | None = 1, task: Task = TASK) -> Ask:
    return Ask(task=task, guidance=guidance, step=step)


def awaited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run
