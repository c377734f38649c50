"""The sessions of one supervisor: who has which, what was asked of it, and when it ends."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from code_judge.jobs import CELL_ENDED_IT, Outcome, RunLimits
from code_judge.sandbox.answers import Status
from code_judge.sandbox.kinds import Kind, kind_of
from code_judge.sandbox.session import BranchLost, CellResult, Session
from code_judge.sandbox.slot import Part, SlotLimits, SlotLost
from code_judge.slots import SlotPool
from code_judge.verdicts import STOPPED, admitted, slot_limits

log = logging.getLogger(__name__)
_REMEMBERED = 1000
_WHOLE_LIFE_S = 24 * 3600.0


@dataclass
class _Tree:
    """One slot with all branches of a session."""

    session: Session
    stack: AsyncExitStack
    branches: int = 0


@dataclass
class _Handle:
    tree: _Tree
    branch: int
    idle_s: float
    limits: RunLimits
    """Of cells that name none."""
    used: float = field(default_factory=time.monotonic)
    cells: int = 0
    calls: int = 0
    """Under way: it is not idle while there is one."""

    @contextmanager
    def busy(self) -> Iterator[None]:
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1
            self.used = time.monotonic()


class NoSession(LookupError):
    """No such session (any more); the text says why."""


@dataclass
class SessionDesk:
    """`capacity` sessions at most, their branches counted too; `cells` of them run at one time."""

    slots: SlotPool
    capacity: int
    cells: asyncio.Semaphore
    _handles: dict[str, _Handle] = field(default_factory=dict)
    _ended: OrderedDict[str, str] = field(default_factory=OrderedDict)
    _opening: int = 0

    @property
    def count(self) -> int:
        return len(self._handles)

    async def handle(self, message: dict[str, Any]) -> dict[str, Any]:
        """Do what an API process asks. Never raises: `{"status": "error", "code", "detail"}` says what is wrong."""
        try:
            operation = {
                "create": self._create, "run": self._run, "fork": self._fork, "reset": self._reset, "end": self._end,
                "show": self._show,
            }[message["op"]]  # fmt: skip
            return {"status": "ok", **await operation(message)}
        except NoSession as error:
            return {"status": "error", "code": 410, "detail": str(error)}
        except _NoRoom as error:
            return {"status": "error", "code": 429, "detail": str(error)}
        except (SlotLost, BranchLost, OSError, asyncio.TimeoutError) as error:
            return {"status": "error", "code": 503, "detail": f"{type(error).__name__}: {error}"}
        except Exception as error:  # whoever asked would wait for nothing
            log.exception("a call to a session failed")
            return {"status": "error", "code": 500, "detail": f"{type(error).__name__}: {error}"}

    def _find(self, message: dict[str, Any]) -> _Handle:
        name = message["session"]
        handle = self._handles.get(name)
        if handle is None:
            raise NoSession(self._ended.get(name, "this session does not exist"))
        handle.used = time.monotonic()
        return handle

    @asynccontextmanager
    async def _ending(self, handle: _Handle, name: str) -> AsyncIterator[None]:
        """Something is done with a session. One whose processes are gone ends here, and its place is free again."""
        try:
            with handle.busy():
                yield
        except (BranchLost, SlotLost) as error:
            self._check_open(handle, name)
            own_doing = handle.tree.session.slot.alive
            why = f"{CELL_ENDED_IT}: {error}" if own_doing else str(error)
            await self._drop(name, why)
            raise NoSession(why) from None

    def _check_open(self, handle: _Handle, name: str) -> None:
        """Raises NoSession for one that was closed meanwhile or stopped with its worker: that was no cell's doing."""
        if self._handles.get(name) is not handle:
            raise NoSession(self._ended.get(name, "this session is over"))

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Kept for one session while it opens. Raises _NoRoom."""
        taken = len(self._handles) + self._opening
        if taken >= self.capacity:
            raise _NoRoom(f"{taken} sessions are open on this worker; the limit is {self.capacity}")
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1

    def _open_handle(self, tree: _Tree, branch: int, idle_s: float, limits: RunLimits) -> str:
        name = uuid.uuid4().hex
        tree.branches += 1
        self._handles[name] = _Handle(tree, branch, idle_s, limits)
        return name

    async def _create(self, message: dict[str, Any]) -> dict[str, Any]:
        with self._place():
            return await self._open(message)

    async def _open(self, message: dict[str, Any]) -> dict[str, Any]:
        of_cells = RunLimits(**message["limits"])
        limits = slot_limits(of_cells)
        whole = SlotLimits(
            _WHOLE_LIFE_S, _WHOLE_LIFE_S, limits.memory, limits.output, limits.processes, limits.file_size
        )
        kind = kind_of(message["code"], Kind.STANDARD)
        stack = AsyncExitStack()
        try:
            slot = await stack.enter_async_context(self.slots.slot(kind))
            session = Session(slot, whole)
            stack.push_async_callback(session.close)
            branch = await session.open()
        except BaseException:
            await stack.aclose()
            raise
        return {"session": self._open_handle(_Tree(session, stack), branch, message["idle_s"], of_cells)}

    async def _run(self, message: dict[str, Any]) -> dict[str, Any]:
        handle = self._find(message)
        limits = handle.limits if message["limits"] is None else RunLimits(**message["limits"])
        async with self._ending(handle, message["session"]), self.cells:
            result = await handle.tree.session.run(
                handle.branch, message["code"], slot_limits(limits), echo=message["echo"],
                rollback=message["rollback"],
            )  # fmt: skip
        self._check_open(handle, message["session"])
        handle.cells += 1
        alive = handle.tree.session.alive(handle.branch)
        answer = _describe(result, limits, alive)
        if not alive:
            await self._drop(message["session"], f"{CELL_ENDED_IT}: {answer['outcome']} {answer['detail']}".strip())
        return answer

    async def _fork(self, message: dict[str, Any]) -> dict[str, Any]:
        handle = self._find(message)
        with self._place():
            async with self._ending(handle, message["session"]):
                branch = await handle.tree.session.fork(handle.branch)
            return {"session": self._open_handle(handle.tree, branch, handle.idle_s, handle.limits)}

    async def _reset(self, message: dict[str, Any]) -> dict[str, Any]:
        handle = self._find(message)
        async with self._ending(handle, message["session"]):
            handle.branch = await handle.tree.session.reset(handle.branch)
        handle.cells = 0
        return {}

    async def _show(self, message: dict[str, Any]) -> dict[str, Any]:
        handle = self._find(message)
        return {"cells": handle.cells, "idle_s": handle.idle_s}

    async def _end(self, message: dict[str, Any]) -> dict[str, Any]:
        handle = self._find(message)
        handle.tree.session.end(handle.branch)
        await self._drop(message["session"], "it was closed")
        return {}

    async def _drop(self, name: str, why: str) -> None:
        handle = self._handles.pop(name, None)
        if handle is None:
            return
        self._ended[name] = why
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        handle.tree.session.end(handle.branch)
        handle.tree.branches -= 1
        if handle.tree.branches == 0:
            await handle.tree.stack.aclose()

    async def expire(self) -> None:
        """End sessions that nobody used for as long as they asked for."""
        now = time.monotonic()
        for name, handle in list(self._handles.items()):
            if not handle.calls and now - handle.used > handle.idle_s:
                await self._drop(name, f"it was idle for {handle.idle_s:g} s")

    async def close(self) -> None:
        """End all."""
        for name in list(self._handles):
            await self._drop(name, "the worker stopped")


class _NoRoom(RuntimeError):
    """The worker has as many sessions as it may."""


def _verdict(result: CellResult) -> tuple[Outcome, str]:
    part = result.part
    if part.stopped is not None:
        return STOPPED[part.stopped], part.stopped.value
    if result.status is Status.OK or (result.status is Status.EXIT and not result.exit_code):
        return Outcome.OK, ""
    detail = "signal" if result.status is Status.DIED else result.status.value
    return admitted(result.error_class) or Outcome.RUNTIME_ERROR, detail


def _describe(result: CellResult, limits: RunLimits, alive: bool) -> dict[str, Any]:
    """A cell's result as the API sends it."""
    part, (outcome, detail) = result.part, _verdict(result)
    return {
        "outcome": outcome.value, "detail": detail, "alive": alive, "cpu_s": part.cpu_s, "wall_s": part.wall_s,
        "memory_mb": part.memory / 2**20, "error_class": result.error_class, "error_message": result.message,
        "error_line": result.line, "exit_code": result.exit_code, **_texts(part, limits.output_chars),
    }  # fmt: skip


def _texts(part: Part, chars: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, data, size in (("stdout", part.stdout, part.stdout_bytes), ("stderr", part.stderr, part.stderr_bytes)):
        text = data.decode("utf-8", "replace")
        found[name], found[f"{name}_bytes"] = text[:chars], size
        found[f"{name}_truncated"] = len(text) > chars or size > len(data)
    return found
