"""Dynamic Cheatsheet (suzgunmirac/dynamic-cheatsheet, its cumulative variant): a memory that is rewritten at test time.

Online and nothing else: tasks come one by one in an order that the seed fixes. Each is run with the memory of before,
which is its score; then a curator rewrites the memory in full from that run. As published, the curator is not told how
a run was judged. What differs from the published program: a run is an agent's run in an environment, not one answer to
a question; and a run that failed through no fault of the model is not shown to the curator.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cleartrace.agents.protocol import EpisodeRunner, RunRequest
from cleartrace.context.providers import Static
from cleartrace.context.providers.base import cut_to
from cleartrace.episodes.render import clip, render
from cleartrace.episodes.types import Episode, Record, Task
from cleartrace.learn.facts import Facts
from cleartrace.learn.prompts import compose
from cleartrace.llm.protocol import LLM, Finish, Reply, Request, Role
from cleartrace.llm.tokens import count_tokens

_MEMORY = re.compile(r"<cheatsheet>(.*?)</cheatsheet>", re.DOTALL)
RUN_CHARS = 24_000


class CheatsheetConfig(Record):
    """`step_chars`: of each step of a run, as the curator reads it. `cap`: tokens of the memory."""

    step_chars: int = 2000
    cap: int | None = None
    seed: int = 42


@dataclass(frozen=True)
class CheatsheetStep:
    """One task. `score`: with the memory of before, None when the run has none. `kept`: why the memory stayed."""

    task_id: str
    score: float | None
    tokens: int
    kept: str = ""


@dataclass(frozen=True)
class Cheatsheet:
    """The loop. `curator`: the model that rewrites."""

    runner: EpisodeRunner
    curator: LLM
    facts: Facts
    config: CheatsheetConfig = field(default_factory=CheatsheetConfig)

    async def learn(
        self, tasks: Sequence[Task], tell: Callable[[CheatsheetStep], None] = lambda step: None
    ) -> tuple[str, tuple[CheatsheetStep, ...]]:
        """(memory after the last task, a step for each task in the order they came).

        Raises `LLMError`, `BudgetExhausted` among them; what was learned until then is told step by step.
        """
        order = list(tasks)
        random.Random(f"{self.config.seed}:cheatsheet").shuffle(order)
        memory, steps = "", []
        for position, task in enumerate(order):
            [episode] = await self.runner.run([RunRequest(task, self.config.seed, Static(memory, self.config.cap))])
            memory, kept = await self._rewritten(memory, task, episode, position)
            steps.append(CheatsheetStep(task.id, episode.outcome.score, count_tokens(memory), kept))
            tell(steps[-1])
        return memory, tuple(steps)

    async def _rewritten(self, memory: str, task: Task, episode: Episode, position: int) -> tuple[str, str]:
        """(memory, why it is the old one or "")."""
        if not episode.outcome.scored:
            return memory, "the run failed through no fault of the model"
        prompt = compose(
            "cheatsheet",
            facts=self.facts,
            cap=self.config.cap,
            memory=memory,
            task=task.input,
            run=clip(render(episode.trajectory, self.config.step_chars), RUN_CHARS),
        )
        seed = self.config.seed + position
        reply = await self.curator.complete(Request(role=Role.MUTATOR, messages=prompt.messages, seed=seed))
        text = memory_in(reply)
        if text is None:
            return memory, "the reply holds no whole cheatsheet"
        return cut_to(text, self.config.cap), ""


def memory_in(reply: Reply) -> str | None:
    """The cheatsheet of a reply, the last of several; None where there is none that is whole and says something."""
    found = _MEMORY.findall(reply.text)
    return None if reply.finish is Finish.FILTERED or not found else found[-1].strip() or None
