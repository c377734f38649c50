"""A stateful interpreter on one slot: cells, branches from any state, limits per cell.

Branches are forks of one process tree and share the slot's files. One cell runs at a time. A cell at its limit is
interrupted, so that the state before it mostly survives; one that ignores the interrupt is killed, and its branch ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from code_judge.sandbox import proctree
from code_judge.sandbox.agents import agent_text
from code_judge.sandbox.answers import Answer, Status
from code_judge.sandbox.channel import Channel, ChannelLost
from code_judge.sandbox.slot import Finished, Mode, Part, Request, Slot, SlotLimits, SlotLost, Stopped, part_of

_INTERRUPT_GRACE_S = 0.5
_KILL_GRACE_S = 5.0
_HELLO_S = 10.0
_MAX_REPLY = 1 << 20


class BranchLost(RuntimeError):
    """The process of this branch is gone; the text says why."""


@dataclass(frozen=True)
class CellResult:
    """How a cell ended; error_* are None unless it raised."""

    status: Status
    part: Part
    error_class: str | None = None
    message: str | None = None
    line: int | None = None
    exit_code: int | None = None


@dataclass
class _Branch:
    pid: int
    """Of its process, as this process sees it; 0 when it must be looked up again after a rollback cell."""
    channel: Channel
    inner_pid: int


@dataclass
class Session:
    """`open` it, use it, `close` it: after that the slot is free for other runs."""

    slot: Slot
    limits: SlotLimits
    """Memory, processes and files of all branches together; CPU seconds of one process over its whole life."""
    _branches: dict[int, _Branch] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _run: asyncio.Task[Finished] | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def open(self) -> int:
        """Start; returns the first branch. Raises SlotLost."""
        ours, theirs = Channel.pair(_MAX_REPLY)
        with theirs:
            text = agent_text("frames", "cells", "session")
            request = Request(Mode.AGENT, {}, None, self.limits, agent=text, descriptors=(theirs.fileno(),))
            self._run = asyncio.create_task(self.slot.run(request))
            await asyncio.sleep(0)  # the request is sent in the task's first step
        return await self.fork(await self._hello(ours))

    async def fork(self, branch: int) -> int:
        """A new branch with the state of `branch`. Raises BranchLost."""
        async with self._lock:
            parent = self._find(branch)
            ours, theirs = Channel.pair(_MAX_REPLY)
            with theirs:
                await self._send(parent.channel, {"op": "fork"}, theirs.fileno())
            return await self._hello(ours)

    async def _hello(self, channel: Channel) -> int:
        """The number of a branch whose process says that it is there. Raises BranchLost."""
        try:
            pid = self._pid_of(await self._reply(channel, _HELLO_S))
        except BranchLost:
            channel.close()
            raise
        number = next(self._numbers)
        self._branches[number] = _Branch(0, channel, pid)
        return number

    async def reset(self, branch: int) -> int:
        """End `branch`; returns a new one with the state at the start."""
        self.end(branch)
        return await self.fork(min(self._branches))

    async def run(self, branch: int, code: str, limits: SlotLimits, *, echo: bool, rollback: bool) -> CellResult:
        """Run one cell. `rollback`: a cell that fails leaves the state as it was. Raises BranchLost or SlotLost."""
        async with self._lock:
            target = self._find(branch)
            loop = asyncio.get_running_loop()
            timers: list[asyncio.TimerHandle] = []

            def stop(reason: Stopped) -> None:
                hard = rollback or reason not in (Stopped.CPU, Stopped.WALL)
                self._signal(target, signal.SIGKILL if hard else signal.SIGINT, rollback)
                if not hard:
                    timers.append(loop.call_later(_INTERRUPT_GRACE_S, self._signal, target, signal.SIGKILL, rollback))

            self.slot.begin_part(limits, stop)
            try:
                await self._send(target.channel, {"op": "cell", "code": code, "echo": echo, "rollback": rollback})
                answer = await self._reply(target.channel, limits.wall_s + _KILL_GRACE_S)
                if rollback and answer.status is Status.OK:
                    target.pid, target.inner_pid = 0, self._pid_of(answer)
            except BranchLost:
                answer = Answer(Status.DIED)
                host = _host_pid(self.slot.pid, target.inner_pid)
                if host:  # it goes on without listening; its forks are branches of their own
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(host, signal.SIGKILL)
                self.end(branch)
            finally:
                for timer in timers:
                    timer.cancel()
            assert self._run is not None
            part = part_of(await self._run) if self._run.done() else self.slot.end_part()
            return CellResult(
                answer.status, part, answer.error_class, answer.message, answer.line, answer.exit_code
            )  # fmt: skip

    def alive(self, branch: int) -> bool:
        running = self._run is not None and not self._run.done()
        return running and branch in self._branches and self.slot.alive

    def end(self, branch: int) -> None:
        """End one branch; harmless when it is gone."""
        gone = self._branches.pop(branch, None)
        if gone is not None:
            gone.channel.close()

    async def close(self) -> None:
        """End everything; the slot is idle or closed afterwards."""
        for branch in list(self._branches):
            self.end(branch)
        if self._run is not None:
            proctree.kill_below(self.slot.pid)
            with contextlib.suppress(SlotLost, OSError):  # closed slots are replaced by their pool
                await asyncio.wait_for(self._run, _KILL_GRACE_S)

    def _find(self, branch: int) -> _Branch:
        if self._run is None or self._run.done():
            raise SlotLost("the session is over")
        try:
            return self._branches[branch]
        except KeyError:
            raise BranchLost("this branch has ended") from None

    def _signal(self, branch: _Branch, number: signal.Signals, only_below: bool) -> None:
        host = branch.pid = branch.pid or _host_pid(self.slot.pid, branch.inner_pid)
        if host == 0:
            return
        if only_below or number == signal.SIGKILL:
            proctree.kill_below(host)
        if not only_below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(host, number)

    async def _send(self, channel: Channel, message: dict[str, Any], *descriptors: int) -> None:
        try:
            await channel.send(message, *descriptors)
        except ChannelLost as error:
            raise BranchLost(f"the process of the branch is gone: {error}") from None

    async def _reply(self, channel: Channel, timeout_s: float) -> Answer:
        try:
            return await channel.receive(timeout_s)
        except ChannelLost as error:
            raise BranchLost(f"the process of the branch is gone: {error}") from None

    @staticmethod
    def _pid_of(answer: Answer) -> int:
        if answer.pid is None:
            raise BranchLost("the process of the branch does not say which it is")
        return answer.pid


def _host_pid(slot_pid: int, inner_pid: int) -> int:
    """The process below the slot whose number inside is `inner_pid`; 0 when it is gone."""
    for pid in proctree.descendants(slot_pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():  # a program may choose its name
                if line.startswith(b"NSpid:") and int(line.split()[-1]) == inner_pid:
                    return pid
    return 0
