"""Many runs: so many at once, each at most so long, none twice, and one episode for every request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from cleartrace.agents.attempt import attempt, unrun
from cleartrace.agents.protocol import ExecutionAgent, RunRequest
from cleartrace.episodes.files import StoreError
from cleartrace.episodes.identity import RunKey, context_hash
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Context, Episode, Failure, FailureKind
from cleartrace.llm.protocol import BudgetExhausted, LLMError
from cleartrace.llm.tokens import TokenCounter, count_tokens

_BREATH_S = 0.02
"""Agents that never wait hand the event loop over after so long, so that progress and cancellation get through."""


@dataclass(frozen=True)
class Progress:
    """`reused`: of those done, runs that a store held. `lost`: runs without a score, somebody else than the model to
    blame."""

    done: int
    total: int
    reused: int
    lost: int


@dataclass
class _Batch:
    """The state of one call of `run`."""

    todo: Iterator[tuple[int, RunRequest]]
    found: list[Episode | None]
    reused: int = 0
    done: int = 0
    lost: int = 0
    exhausted: BudgetExhausted | None = None


class Runner:
    """Runs an agent on requests.

    Args:
        store: finished runs go into it at once, and a run that it holds is not made again.
        concurrency: runs at a time, over all calls of `run`.
        time_limit_s: wall seconds of one run; reaching it is the agent's failure and scores 0 (R22).
        infra_retries: new attempts, with the same seed, of a run that an endpoint or an environment spoiled.
        retry_wait_s: before the first of them; doubles with each.
        context_cap: tokens that a context may have; a longer one is refused without a run.
        count: counts them.
        fresh: makes every run, whatever the store holds.
        progress: called after every run.
    """

    def __init__(
        self,
        agent: ExecutionAgent,
        store: EpisodeStore | None = None,
        *,
        concurrency: int = 8,
        time_limit_s: float | None = None,
        infra_retries: int = 2,
        retry_wait_s: float = 0.5,
        context_cap: int | None = None,
        count: TokenCounter = count_tokens,
        fresh: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        if concurrency < 1 or infra_retries < 0 or (time_limit_s is not None and time_limit_s <= 0):
            raise ValueError("concurrency must be at least 1, infra_retries at least 0, and a time limit above 0")
        self.agent, self.store = agent, store
        self._concurrency, self._time_limit_s = concurrency, time_limit_s
        self._infra_retries, self._retry_wait_s = infra_retries, retry_wait_s
        self._context_cap, self._count = context_cap, count
        self._fresh, self._progress = fresh, progress
        self._gates: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
        self._flying: dict[RunKey, asyncio.Future[None]] = {}

    async def run(self, requests: Sequence[RunRequest]) -> list[Episode]:
        """One episode for each request, in their order (S9).

        Cancelling it ends every run it started. What was finished before is in the store.

        Raises:
            BudgetExhausted: a run met the end of the budget. Runs at work were let finish, and no other was begun.
        """
        batch = _Batch(iter(enumerate(requests)), [None] * len(requests))
        workers = [asyncio.ensure_future(self._work(batch)) for _ in range(min(self._concurrency, len(requests)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if batch.exhausted is not None:
            raise batch.exhausted
        return [episode for episode in batch.found if episode is not None]

    async def _work(self, batch: _Batch) -> None:
        gate = self._gates.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._concurrency))
        breath = time.monotonic() + _BREATH_S
        for number, request in batch.todo:
            try:
                async with gate:
                    episode, reused = await self._one(request)
            except BudgetExhausted as error:
                batch.exhausted = batch.exhausted or error
            else:
                batch.found[number] = episode
                self._count_run(batch, episode, reused)
            if batch.exhausted is not None:
                return
            if time.monotonic() > breath:
                await asyncio.sleep(0)
                breath = time.monotonic() + _BREATH_S

    def _count_run(self, batch: _Batch, episode: Episode, reused: bool) -> None:
        batch.done += 1
        batch.reused += reused
        batch.lost += episode.outcome.score is None
        if self._progress is not None:
            self._progress(Progress(batch.done, len(batch.found), batch.reused, batch.lost))

    async def _one(self, request: RunRequest) -> tuple[Episode, bool]:
        """An episode, and whether it was there already."""
        context = await self._context(request)
        if isinstance(context, Failure):
            return self._kept(unrun(request, self.agent.hash, Context(), context)), False
        if self._context_cap is not None and (size := self._count(context.text)) > self._context_cap:
            message = f"the provider's context has {size} tokens, and {self._context_cap} are allowed"
            failure = Failure(kind=FailureKind.ENGINE, message=message)
            return self._kept(unrun(request, self.agent.hash, context, failure)), False
        if self.store is None:
            return await self._made(request, context), False
        task, hash = request.task, context_hash(context)
        key = RunKey(task.environment, task.id, self.agent.hash, hash, request.seed)
        if self._fresh:
            return self._kept(await self._made(request, context)), False
        return await self._once(key, request, context)

    async def _once(self, key: RunKey, request: RunRequest, context: Context) -> tuple[Episode, bool]:
        """The stored run of this key, or the one that is being made, or a new one."""
        while (flying := self._flying.get(key)) is not None:
            await asyncio.wait({flying})
        if (stored := self._stored(key)) is not None:
            return stored, True
        landed = self._flying[key] = asyncio.get_running_loop().create_future()
        try:
            return self._kept(await self._made(request, context)), False
        finally:
            del self._flying[key]
            landed.set_result(None)

    def _stored(self, key: RunKey) -> Episode | None:
        """A run that reached a shorter limit of wall time than ours is made again."""
        assert self.store is not None
        row = self.store.made(key)
        if row is None:
            return None
        try:
            episode = self.store.get(row.id)
        except StoreError:
            return None
        if row.failure == FailureKind.TIME_LIMIT.value:
            limit_s = episode.outcome.details.get("time_limit_s")
            if not isinstance(limit_s, (int, float)) or limit_s < (self._time_limit_s or float("inf")):
                return None
        return episode

    async def _context(self, request: RunRequest) -> Context | Failure:
        for turn in range(self._infra_retries + 1):
            try:
                return await request.provider.context_for(request.task, request.seed)
            except BudgetExhausted:
                raise
            except Exception as error:
                message = f"no context: {type(error).__name__}: {error}"
                if not (isinstance(error, LLMError) and error.retry) or turn == self._infra_retries:
                    return Failure(kind=FailureKind.ENGINE, message=message)
            await self._wait(turn)
        raise AssertionError("the loop above returns")

    async def _made(self, request: RunRequest, context: Context) -> Episode:
        """A new run, attempted again while somebody else than the model spoils it."""
        for turn in range(self._infra_retries + 1):
            episode = await attempt(self.agent, request, context, self._time_limit_s)
            failure = episode.outcome.failure
            if failure is not None and failure.kind is FailureKind.BUDGET:
                raise BudgetExhausted(failure.message)
            if episode.outcome.score is not None or turn == self._infra_retries:
                break
            await self._wait(turn)
        if turn == 0:
            return episode
        details = {**episode.outcome.details, "infra_retries": turn}
        outcome = episode.outcome.model_copy(update={"details": details})
        return episode.model_copy(update={"outcome": outcome})

    async def _wait(self, turn: int) -> None:
        await asyncio.sleep(self._retry_wait_s * 2**turn)

    def _kept(self, episode: Episode) -> Episode:
        if self.store is not None:
            self.store.add(episode)
        return episode
