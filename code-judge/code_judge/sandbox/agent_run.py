"""One of our own programs on a slot, asked to do one thing after another, each within limits of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from typing import Any

from code_judge.sandbox import proctree
from code_judge.sandbox.agents import agent_text
from code_judge.sandbox.channel import Channel, ChannelLost
from code_judge.sandbox.slot import Finished, Mode, Part, Request, Slot, SlotLimits, SlotLost, Stopped

_GRACE_S = 5.0
_MAX_REPLY = 4 << 20


@dataclass
class AgentRun:
    """Made by `start`; `close` it to free the slot."""

    slot: Slot
    channel: Channel
    _run: asyncio.Task[Finished]

    @classmethod
    async def start(cls, slot: Slot, names: tuple[str, ...], life: SlotLimits, *peers: int) -> AgentRun:
        """`life` limits all parts together; `peers` are the agent's descriptors from 4 on. Raises SlotLost."""
        ours, theirs = Channel.pair(_MAX_REPLY)
        with theirs:
            request = Request(
                Mode.AGENT, {}, None, life, agent=agent_text(*names), descriptors=(theirs.fileno(), *peers)
            )
            task = asyncio.create_task(slot.run(request))
            await asyncio.sleep(0)  # the request is sent in the task's first step
        if task.done():
            await task
        return cls(slot, ours, task)

    @property
    def alive(self) -> bool:
        return self.slot.alive and not self._run.done()

    async def ask(self, message: dict[str, Any], limits: SlotLimits, spare: bool) -> tuple[dict[str, Any], Part]:
        """The answer, and what it cost. `{"status": "died"}` when there is none: the agent is to be closed then.

        `spare`: at a limit only what the agent started is killed, so that it answers. Raises SlotLost and TimeoutError.
        """

        def stop(_: Stopped) -> None:
            for pid in proctree.children(self.slot.pid):
                proctree.kill_below(pid)
                if not spare:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, 9)

        self.slot.begin_part(limits, stop, exact=False)
        try:
            await self.channel.send(message)
            answer = await self.channel.receive(limits.wall_s + _GRACE_S)
        except ChannelLost as error:
            self.kill()
            ended = await asyncio.wait_for(self._run, _GRACE_S)
            return {"status": "died", "message": str(error), "exit_code": ended.exit_code}, await self.last_part()
        return answer, self.slot.end_part()

    def kill(self) -> None:
        """End the agent and all that it started, without waiting."""
        self.channel.close()
        if not self._run.done():
            proctree.kill_below(self.slot.pid)

    async def last_part(self) -> Part:
        """What the end of the agent cut off. Raises SlotLost and TimeoutError."""
        ended = await asyncio.wait_for(self._run, _GRACE_S)
        return Part(
            stopped=ended.stopped, cpu_s=ended.cpu_s, wall_s=ended.wall_s, memory=int(ended.max_rss_mb * 2**20),
            stdout=ended.stdout, stdout_bytes=ended.stdout_bytes, stderr=ended.stderr, stderr_bytes=ended.stderr_bytes,
        )  # fmt: skip

    async def close(self) -> None:
        """End it; the slot is idle or closed afterwards."""
        self.kill()
        with contextlib.suppress(SlotLost, OSError):  # closed slots are replaced by their pool
            await asyncio.wait_for(self._run, _GRACE_S)
