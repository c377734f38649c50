"""Does an environment judge rightly? Gold actions must score a full pass, and an agent that does nothing must not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from cleartrace.environments.host import Host, HostedSession
from cleartrace.environments.protocol import Action, EnvironmentFault
from cleartrace.episodes.types import Outcome, Task
from cleartrace.llm.protocol import Message, Reply, Request

IDLE_TURNS = 20
"""How often an agent that does nothing is asked again before its task counts as given up."""


class Verdict(str, Enum):
    """What became of one task."""

    GOOD = "good"
    NO_GOLD = "no gold"
    """The package knows no solution; doing nothing fails."""
    IDLE_KNOWN = "idle passes, known"
    """The package's own check is content with doing nothing, and the adapter says so."""
    IDLE_PASSES = "idle passes"
    GOLD_FAILS = "gold fails"
    FAULT = "fault"

    @property
    def fine(self) -> bool:
        return self in (Verdict.GOOD, Verdict.NO_GOLD, Verdict.IDLE_KNOWN)


@dataclass(frozen=True)
class Finding:
    """One task's verdict. `refused`: gold calls that the environment answered with an error."""

    task: Task
    verdict: Verdict
    note: str = ""
    gold_calls: int = 0
    refused: int = 0


class Echo:
    """A user who says what it hears. Gold actions end a talk by saying the words that its user should say."""

    model = "echo"

    async def complete(self, request: Request) -> Reply:
        return Reply(message=Message(role="assistant", content=request.messages[-1].content), model=self.model)

    async def close(self) -> None: ...


async def validate(
    host: Host,
    tasks: Sequence[Task],
    seed: int = 0,
    concurrency: int = 2,
    tell: Callable[[Finding], None] | None = None,
) -> list[Finding]:
    """A finding for each task, in their order; `tell` gets each as soon as it is known."""
    gate = asyncio.Semaphore(concurrency)

    async def one(task: Task) -> Finding:
        async with gate:
            finding = await _find(host, task, seed)
        if tell is not None:
            tell(finding)
        return finding

    return list(await asyncio.gather(*(one(task) for task in tasks)))


async def _find(host: Host, task: Task, seed: int) -> Finding:
    calls = refused = 0
    try:
        gold = await host.gold(task.id, seed)
        if gold is not None:
            async with host.session(task.id, seed) as session:
                calls, refused = await _replay(session, gold)
                outcome = await session.outcome()
            if not outcome.passed:
                return Finding(task, Verdict.GOLD_FAILS, _said(outcome), calls, refused)
        async with host.session(task.id, seed) as session:
            idle = await _idle(session)
    except EnvironmentFault as error:
        return Finding(task, Verdict.FAULT, str(error), calls, refused)
    expected = task.id in host.idle_passes
    if idle.passed:
        return Finding(task, Verdict.IDLE_KNOWN if expected else Verdict.IDLE_PASSES, _said(idle), calls, refused)
    if expected:
        return Finding(task, Verdict.FAULT, "said to pass without doing anything, and does not", calls, refused)
    return Finding(task, Verdict.GOOD if gold is not None else Verdict.NO_GOLD, "", calls, refused)


async def _replay(session: HostedSession, gold: Sequence[Action]) -> tuple[int, int]:
    """(calls, those answered with an error)."""
    await session.start()
    results = [result for action in gold for result in (await session.act(action)).results]
    return len(results), sum(result.is_error for result in results)


async def _idle(session: HostedSession) -> Outcome:
    seen = await session.start()
    for _ in range(IDLE_TURNS):
        if seen.done:
            break
        seen = await session.act(Action())
    return await session.outcome()


def _said(outcome: Outcome) -> str:
    return f"score {outcome.score}: {outcome.feedback}"
