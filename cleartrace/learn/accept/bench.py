"""The bench that a loop gives to its policy: the applier's rules, the renderer's size, the runner's runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cleartrace.agents.protocol import EpisodeRunner, RunRequest
from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.ops import Operation
from cleartrace.context.playbook.rules import Rules
from cleartrace.context.playbook.types import Playbook, Source
from cleartrace.context.provider import ContextProvider
from cleartrace.learn.accept.protocol import Draw


@dataclass(frozen=True)
class RunnerBench:
    """Implements `Bench`.

    Args:
        provider_of: shows a playbook as the loop's own runs see it.
        tokens: of a playbook as it is shown.
        source: of edits that are applied.
    """

    runner: EpisodeRunner
    provider_of: Callable[[Playbook], ContextProvider]
    tokens: Callable[[Playbook], int]
    rules: Rules
    source: Source

    def apply(self, playbook: Playbook, operations: Sequence[Operation]) -> Playbook:
        return apply(playbook, operations, self.rules, self.source).playbook

    def size(self, playbook: Playbook) -> int:
        return self.tokens(playbook)

    async def scores(self, playbook: Playbook, draws: Sequence[Draw]) -> list[float | None]:
        provider = self.provider_of(playbook)
        episodes = await self.runner.run([RunRequest(draw.task, draw.seed, provider) for draw in draws])
        return [one.outcome.score for one in episodes]
