"""Accepts rollouts, makes them, so many at once, and keeps their results."""

from __future__ import annotations

import asyncio
import hashlib
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cleartrace.agents.protocol import ExecutionAgent, RunRequest
from cleartrace.agents.rollout_endpoint.journal import Journal
from cleartrace.agents.rollout_endpoint.store import ResultStore, StoreFault
from cleartrace.agents.rollout_endpoint.types import FAILED, Block, Invocation, Place, Result, State
from cleartrace.agents.runner import Runner
from cleartrace.context.provider import ContextProvider
from cleartrace.episodes.types import Context, Episode, Failure, FailureKind, Task
from cleartrace.llm.protocol import BudgetExhausted

_TRIES, _RETRY_S = 4, 0.5
AgentFor = Callable[[Block], ExecutionAgent]
"""The agent that a request wants. Raises ValueError where it may not have it."""


class Unacceptable(ValueError):
    """An invocation that no rollout can be made of; says why."""


class Busy(RuntimeError):
    """So many rollouts wait already that another is not accepted."""


@dataclass(frozen=True)
class Rules:
    """How rollouts are made.

    Args:
        concurrency: at a time. waiting: further ones that are accepted.
        time_limit_s: wall seconds of one; reaching it scores 0.
        infra_retries: new attempts of one that an endpoint or the environment spoiled.
    """

    concurrency: int = 8
    waiting: int = 10_000
    time_limit_s: float | None = 900.0
    infra_retries: int = 2


class RolloutService:
    """One environment behind the contract. To be used from one event loop.

    Args:
        provider: context for requests that bring none.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        agent_for: AgentFor,
        provider: ContextProvider,
        store: ResultStore,
        journal: Journal,
        rules: Rules | None = None,
    ) -> None:
        self._tasks, self._agent_for, self._provider = tasks, agent_for, provider
        self._store, self._journal, self.rules = store, journal, rules or Rules()
        self._gate = asyncio.Semaphore(self.rules.concurrency)
        self._flying: dict[Place, asyncio.Task[None]] = {}
        self._running: set[Place] = set()
        self._cancelled: set[Place] = set()
        self.done = self.failed = 0
        self.fault = ""
        """Why the last result could not be kept; "" while all is well."""

    @property
    def waiting(self) -> int:
        return len(self._flying) - len(self._running)

    @property
    def running(self) -> int:
        return len(self._running)

    async def accept(self, payload: Any, header_session: str = "") -> Place:
        """Where the result will be. A rollout that is under way, or has its result, is not made again.

        Raises: `Unacceptable`, `Busy`, and what the store raises.
        """
        asked, session = self._read(payload, header_session)
        place = Place(s3_bucket=asked.rollout.s3_bucket, result_key=asked.rollout.key(session))
        if place in self._flying or await asyncio.to_thread(self._store.get, place) is not None:
            return place
        if place in self._flying:
            return place
        if self.waiting >= self.rules.waiting:
            raise Busy(f"{self.waiting} rollouts wait already")
        self._journal.open(place, session, payload)
        self._start(place, asked, payload)
        return place

    async def resume(self) -> int:
        """Go on with what was accepted before the last stop; returns how many."""
        left = 0
        for session, payload in self._journal.left():
            asked = Invocation.model_validate(payload)
            place = Place(s3_bucket=asked.rollout.s3_bucket, result_key=asked.rollout.key(session))
            if await asyncio.to_thread(self._store.get, place) is not None:
                self._journal.close(place)
            elif place not in self._flying:
                self._start(place, asked, payload)
                left += 1
        return left

    async def state(self, place: Place) -> tuple[State, bytes | None] | None:
        """Of a rollout, with its result when there is one; None for one that was never asked for."""
        if place in self._flying:
            return (State.PROCESSING if place in self._running else State.WAITING), None
        found = await asyncio.to_thread(self._store.get, place)
        return None if found is None else (State.DONE, found)

    async def cancel(self, place: Place) -> bool:
        """End a rollout; its result says that it was cancelled. False where none was under way."""
        flying = self._flying.get(place)
        if flying is None:
            return False
        self._cancelled.add(place)
        flying.cancel()
        await asyncio.wait({flying})
        return True

    async def close(self) -> None:
        """Leave what is under way; `resume` goes on with it."""
        flying = list(self._flying.values())
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)

    def _read(self, payload: Any, header_session: str) -> tuple[Invocation, str]:
        try:
            asked = Invocation.model_validate(payload)
            self._agent_for(asked.rollout)
            session = asked.rollout.session_id or header_session or uuid.uuid4().hex
            asked.rollout.key(session)
        except ValueError as error:
            raise Unacceptable(str(error)) from None
        if asked.task_id not in self._tasks:
            raise Unacceptable(f"there is no task {asked.task_id!r} here")
        return asked, session

    def _start(self, place: Place, asked: Invocation, payload: dict[str, Any]) -> None:
        task = asyncio.ensure_future(self._rollout(place, asked, payload))
        self._flying[place] = task
        task.add_done_callback(lambda _: self._landed(place, task))

    def _landed(self, place: Place, task: asyncio.Task[None]) -> None:
        self._flying.pop(place, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fault = str(error)

    async def _rollout(self, place: Place, asked: Invocation, payload: dict[str, Any]) -> None:
        try:
            async with self._gate:
                self._running.add(place)
                result = await self._result(asked, place)
        except asyncio.CancelledError:
            if place not in self._cancelled:
                raise
            failure = Failure(kind=FailureKind.ENGINE, message="the caller cancelled the rollout")
            result = _failed(failure)
        finally:
            self._running.discard(place)
            self._cancelled.discard(place)
        facts = {"input_id": asked.rollout.input_id, "payload": payload, **place.model_dump()}
        await self._keep(place, result.model_copy(update=facts).written())
        self.done, self.failed = self.done + 1, self.failed + result.failed

    async def _keep(self, place: Place, content: bytes) -> None:
        """A result that cannot be kept stays in the journal, and the rollout is made again at the next start."""
        for turn in range(_TRIES):
            try:
                await asyncio.to_thread(self._store.put, place, content)
            except StoreFault as error:
                self.fault = str(error)
                if turn == _TRIES - 1:
                    raise
                await asyncio.sleep(_RETRY_S * 2**turn)
            else:
                self.fault = ""
                self._journal.close(place)
                return

    async def _result(self, asked: Invocation, place: Place) -> Result:
        try:
            episode = await self._run(asked, place)
        except BudgetExhausted as error:
            return _failed(Failure(kind=FailureKind.BUDGET, message=str(error)))
        except Exception as error:
            failure = Failure(kind=FailureKind.ENGINE, message=f"{type(error).__name__}: {error}")
            return _failed(failure).model_copy(update={"traceback": traceback.format_exc()})
        return result_of(episode)

    async def _run(self, asked: Invocation, place: Place) -> Episode:
        provider = self._provider if asked.context is None else _Given(asked.context)
        runner = Runner(
            self._agent_for(asked.rollout),
            concurrency=1,
            time_limit_s=self.rules.time_limit_s,
            infra_retries=self.rules.infra_retries,
        )
        (episode,) = await runner.run([RunRequest(self._tasks[asked.task_id], _seed(asked, place), provider)])
        return episode


class _Given:
    """A context that came with the request."""

    def __init__(self, context: Context) -> None:
        self._context, self.hash = context, context.provider_hash

    async def context_for(self, task: Task, seed: int) -> Context:
        return self._context


def _seed(asked: Invocation, place: Place) -> int:
    """The request's, or one that is the same for the same result and differs between sessions."""
    given = asked.seed if asked.seed is not None else asked.rollout.sampling_params.get("seed")
    return int(given) if given is not None else int(hashlib.sha256(place.result_key.encode()).hexdigest()[:7], 16)


def result_of(episode: Episode) -> Result:
    """What the model did wrong is a score of 0; what anybody else did wrong is a failed rollout without a score."""
    outcome = episode.outcome
    if outcome.score is None:
        assert outcome.failure is not None
        return _failed(outcome.failure).model_copy(update={"episode": episode})
    reason = outcome.failure.kind.value if outcome.failure is not None else "end_turn"
    return Result(rewards=[outcome.score], stop_reason=reason, episode=episode, failure=outcome.failure)


def _failed(failure: Failure) -> Result:
    said = f"{failure.kind.value}: {failure.message}"
    return Result(status_code=FAILED, stop_reason=said, failure=failure, blame=failure.kind.blame.value)
