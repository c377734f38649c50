"""An environment in processes of its own: one for each session at work, ended when it hangs, replaced when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cleartrace.environments.install import interpreter
from cleartrace.environments.protocol import Action, EnvironmentFault, Observation
from cleartrace.environments.registry import find
from cleartrace.environments.worker import Answer, Worker
from cleartrace.episodes.types import Failure, FailureKind, Outcome, Task
from cleartrace.llm.protocol import LLM, BudgetExhausted, LLMError, Message, Request, Role

_END_S = 5.0


class Host:
    """`async with Host("bfcl") as host:`, or `close()` at the end.

    Args:
        options: of the environment, as `registry.load` takes them.
        python: another interpreter, for packages that cannot live beside ours; it needs pydantic. Without one, the
            place where `cleartrace environments install` put the package, or else this interpreter.
        user: the model behind simulated users, or the judge of environments that have one. Its calls have `Role.USER`
            or `Role.JUDGE`, as the environment's `asks_as` says.
        processes: at most so many sessions at once; further ones wait for their turn.
        call_limit_s, start_limit_s: seconds that the environment may take for an answer, and to come up; listing its
            tasks may take the longer of the two.
        sessions_per_process: a process is replaced after so many sessions; 1 for environments that leak.
    """

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any] | None = None,
        *,
        python: str | None = None,
        user: LLM | None = None,
        processes: int = 16,
        call_limit_s: float = 60.0,
        start_limit_s: float = 120.0,
        sessions_per_process: int = 500,
    ) -> None:
        adapter = find(name)
        self.name = name
        self.options = dict(options or {})
        self._python = python or interpreter(adapter)
        self._user = user
        self._call_limit_s, self._start_limit_s = call_limit_s, start_limit_s
        self._sessions_per_process = sessions_per_process
        self._slots = asyncio.Semaphore(processes)
        self._idle: list[Worker] = []
        self._workers: dict[Worker, int] = {}
        self._about: dict[str, Any] = {}
        self._tasks: dict[str | None, list[Task]] = {}
        self._closed = False

    async def open(self) -> Host:
        """Bring the first process up. Raises what `tasks` raises; `domain` and `sections` are known from here on."""
        if not self._about:
            async with self._lease():
                pass
        return self

    async def __aenter__(self) -> Host:
        try:
            return await self.open()
        except BaseException:
            await self.close()
            raise

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def domain(self) -> str:
        return self._known("domain")

    @property
    def sections(self) -> Mapping[str, str]:
        return self._known("sections")

    @property
    def idle_passes(self) -> frozenset[str]:
        """Ids of tasks that are known to pass when nothing is done."""
        return frozenset(self._known("idle_passes"))

    @property
    def identity(self) -> str:
        """Name, version of the package and options: what an agent's hash takes of its environment."""
        return json.dumps([self.name, self._known("version"), self.options], sort_keys=True, default=str)

    def _known(self, fact: str) -> Any:
        if not self._about:
            raise RuntimeError(f"`{fact}` of {self.name} is known once the host is open: `await host.open()`")
        return self._about[fact]

    async def tasks(self, split: str | None = None) -> list[Task]:
        """Raises: `EnvironmentFault`; ValueError for an unknown option or split; `MissingPackage`."""
        if split not in self._tasks:
            async with self._lease() as worker:
                limit_s = max(self._call_limit_s, self._start_limit_s)
                found = await worker.call("tasks", limit_s, split=split)
            self._tasks[split] = [Task.model_validate(task) for task in found]
        return list(self._tasks[split])

    async def gold(self, task_id: str, seed: int) -> list[Action] | None:
        """Actions that solve a task, for `validate` alone."""
        async with self._lease() as worker:
            actions = await worker.call("gold", self._call_limit_s, task_id=task_id, seed=seed)
        return None if actions is None else [Action.model_validate(action) for action in actions]

    @asynccontextmanager
    async def session(self, task_id: str, seed: int) -> AsyncIterator[HostedSession]:
        """A task to work on. However the block ends, the session ends with it, and no process keeps its state."""
        async with self._lease() as worker:
            try:
                role = Role(self._about["asks_as"])
                yield HostedSession(worker, task_id, seed, self._call_limit_s, self._answer(seed, role), role)
            except Exception:
                await _end(worker)
                raise
            await _end(worker)

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Worker]:
        async with self._slots:
            worker = await self._worker()
            try:
                yield worker
            finally:
                self._give_back(worker)

    async def _worker(self) -> Worker:
        if self._closed:
            raise RuntimeError(f"the host of {self.name} is closed")
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
        worker = Worker(self._python, self.name)
        self._workers[worker] = 0
        try:
            about = await worker.call("open", self._start_limit_s, name=self.name, options=self.options)
            if about["needs_user"] and self._user is None:
                need = "has a judge" if about["asks_as"] == Role.JUDGE.value else "simulates a user"
                raise ValueError(f"the environment {self.name} {need} and needs a model: Host(..., user=llm)")
        except BaseException:
            worker.kill()
            self._give_back(worker)
            raise
        self._about = about
        return worker

    def _give_back(self, worker: Worker) -> None:
        """To the idle ones when nothing is left in it; a process that was disturbed is not asked a second time."""
        if worker not in self._workers:
            return
        self._workers[worker] += 1
        spent = self._workers[worker] >= self._sessions_per_process
        if worker.reusable and not spent and not self._closed:
            self._idle.append(worker)
        else:
            del self._workers[worker]
            worker.kill()

    def _answer(self, seed: int, role: Role) -> Answer | None:
        user = self._user
        if user is None:
            return None

        async def answer(messages: Sequence[Message]) -> str:
            request = Request(role=role, messages=tuple(messages), temperature=0.0, seed=seed)
            return (await user.complete(request)).text

        return answer

    async def close(self) -> None:
        """End every process. Sessions at work fail with `EnvironmentFault`."""
        self._closed = True
        idle, self._idle = self._idle, []
        for worker in [worker for worker in self._workers if worker not in idle]:
            worker.kill()
        await asyncio.gather(*(worker.quit(_END_S) for worker in idle))
        self._workers.clear()


async def _end(worker: Worker) -> None:
    """Close the session in `worker`. A session that cannot be closed costs its process, and nothing else."""
    if worker.alive and not worker.busy:
        with contextlib.suppress(EnvironmentFault):
            await worker.call("end", _END_S)
            worker.clean = True


class HostedSession:
    """One task in an environment's process. Calls come one at a time; all raise `EnvironmentFault`."""

    def __init__(
        self, worker: Worker, task_id: str, seed: int, limit_s: float, answer: Answer | None, role: Role = Role.USER
    ) -> None:
        self._worker = worker
        self._role = role
        self._task_id, self._seed = task_id, seed
        self._limit_s = limit_s
        self._answer = answer

    async def start(self) -> Observation:
        """Raises: also ValueError for an unknown task, and what the simulated user's model raises."""
        self._worker.clean = False
        return Observation.model_validate(await self._call("start", task_id=self._task_id, seed=self._seed))

    async def act(self, action: Action) -> Observation:
        """Raises: also what the simulated user's model raises."""
        return Observation.model_validate(await self._call("act", action=action.model_dump(mode="json")))

    async def outcome(self) -> Outcome:
        """A judge that cannot be asked is an outcome of its own kind (R28); an exhausted budget is raised."""
        try:
            return Outcome.model_validate(await self._call("outcome"))
        except LLMError as error:
            if self._role is not Role.JUDGE or isinstance(error, BudgetExhausted):
                raise
            message = f"the judge cannot be asked: {type(error).__name__}: {error}"
            return Outcome(score=None, failure=Failure(kind=FailureKind.JUDGE, message=message))

    async def _call(self, method: str, **params: Any) -> Any:
        if not self._worker.alive:
            raise EnvironmentFault(f"the process of this session is gone; `{method}` has nobody to ask")
        return await self._worker.call(method, self._limit_s, self._answer, **params)
