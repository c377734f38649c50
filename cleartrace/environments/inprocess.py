"""An environment in this process, behind the same asynchronous interface as `Host`.

For environments that are plain Python, and for tests. A session that hangs can be left, but not ended: its thread goes
on until the environment returns. Use `Host` for anything that may hang or leak.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, TypeVar

from cleartrace.environments.protocol import Action, Environment, EnvironmentFault, Observation, Session
from cleartrace.episodes.types import Outcome, Task

T = TypeVar("T")
_CLOSE_S, _LEAVE_S = 5.0, 0.05
"""How long the end of a session waits for `close`: of an idle environment, and of one that is still at work."""


class OpenSession(Protocol):
    """One task being worked on. Calls come one at a time; all raise `EnvironmentFault`."""

    async def start(self) -> Observation: ...

    async def act(self, action: Action) -> Observation: ...

    async def outcome(self) -> Outcome: ...


class EnvironmentHost(Protocol):
    """Where an agent opens sessions: `Host` or `InProcess`."""

    @property
    def identity(self) -> str:
        """Name, version and options: whatever changes what the tasks are."""
        ...

    def session(self, task_id: str, seed: int) -> AbstractAsyncContextManager[OpenSession]: ...


class InProcess:
    """`InProcess(environment)` where a `Host` is expected.

    Args:
        options: those that the environment was made with; they enter `identity`.
        threads: each session has a thread, so that a slow environment holds up nobody else and can be left at a
            time limit. False calls it directly: faster, for environments that never wait.
    """

    def __init__(
        self, environment: Environment, options: Mapping[str, Any] | None = None, *, threads: bool = True
    ) -> None:
        self.environment = environment
        self.name = environment.name
        self.options = dict(options or {})
        self._threads = threads

    @property
    def identity(self) -> str:
        version = str(getattr(self.environment, "version", ""))
        return json.dumps([self.name, version, self.options], sort_keys=True, default=str)

    @property
    def domain(self) -> str:
        return self.environment.domain

    @property
    def sections(self) -> Mapping[str, str]:
        return self.environment.sections

    async def open(self) -> InProcess:
        return self

    async def close(self) -> None:
        """Nothing is held open between sessions."""

    async def __aenter__(self) -> InProcess:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def tasks(self, split: str | None = None) -> list[Task]:
        return list(self.environment.tasks(split))

    async def gold(self, task_id: str, seed: int) -> Sequence[Action] | None:
        return self.environment.gold(task_id, seed)

    @asynccontextmanager
    async def session(self, task_id: str, seed: int) -> AsyncIterator[OpenSession]:
        """A task to work on; the environment's session is made by `start` and closed however the block ends."""
        caller = _Thread() if self._threads else _Direct()
        opened = _Opened(self.environment, task_id, seed, caller)
        try:
            yield opened
        finally:
            await caller.end(opened.close)


class _Opened:
    """A session whose calls go through `caller`. Whatever an environment raises is its fault."""

    def __init__(self, environment: Environment, task_id: str, seed: int, caller: _Thread | _Direct) -> None:
        self._environment = environment
        self._task_id, self._seed = task_id, seed
        self._caller = caller
        self._session: Session | None = None
        self._left = False

    async def start(self) -> Observation:
        return await self._ask(self._begin)

    async def act(self, action: Action) -> Observation:
        return await self._ask(lambda: self._opened().act(action))

    async def outcome(self) -> Outcome:
        return await self._ask(lambda: self._opened().outcome())

    def close(self) -> None:
        self._left = True
        if self._session is not None:
            self._session.close()

    def _begin(self) -> Observation:
        if self._session is not None:
            raise EnvironmentFault(f"the session on {self._task_id} was started twice")
        self._session = self._environment.session(self._task_id, self._seed)
        if self._left:
            self._session.close()
            raise EnvironmentFault(f"the session on {self._task_id} was closed before it began")
        return self._session.start()

    def _opened(self) -> Session:
        if self._session is None:
            raise EnvironmentFault(f"the session on {self._task_id} was not started")
        return self._session

    async def _ask(self, function: Callable[[], T]) -> T:
        try:
            return await self._caller.call(function)
        except EnvironmentFault:
            raise
        except Exception as error:
            name = self._environment.name
            raise EnvironmentFault(f"{name}, task {self._task_id}: {type(error).__name__}: {error}") from error


class _Direct:
    """Calls in the event loop's own thread."""

    async def call(self, function: Callable[[], T]) -> T:
        return function()

    async def end(self, close: Callable[[], None]) -> None:
        with contextlib.suppress(Exception):
            close()


class _Thread:
    """Calls one after the other in a thread of its own. A daemon, so that one that hangs does not hold up the end."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._busy = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    async def call(self, function: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            result, error = None, None
            try:
                result = function()
            except BaseException as raised:
                error = raised
            with contextlib.suppress(RuntimeError):  # The loop was closed: nobody waits.
                loop.call_soon_threadsafe(settle, result, error)

        def settle(result: Any, error: BaseException | None) -> None:
            self._busy = False
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self._busy = True
        self._jobs.put(job)
        return await future

    async def end(self, close: Callable[[], None]) -> None:
        """Close the session, beside its thread when that is still at work: `close` may come at any moment."""
        closer, limit_s = (_Thread(), _LEAVE_S) if self._busy else (self, _CLOSE_S)
        try:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(closer.call(close), limit_s)
        finally:
            closer._jobs.put(None)
            self._jobs.put(None)
