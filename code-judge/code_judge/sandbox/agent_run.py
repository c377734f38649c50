"""One of our own programs on a slot, asked to do one thing after another, each within limits of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from typing import Any

from code_judge.sandbox import proctree
from code_judge.sandbox.agents import agent_text
from code_judge.sandbox.answers import Answer, Status
from code_judge.sandbox.channel import Channel, ChannelLost
from code_judge.sandbox.slot import Finished, Mode, Part, Request, Slot, SlotLimits, SlotLost, Stopped, part_of

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

    @property
    def ended(self) -> bool:
        """Its process is gone, whatever that says of the slot."""
        return self._run.done()

    async def ask(self, message: dict[str, Any], limits: SlotLimits, spare: bool) -> tuple[Answer, Part]:
        """The answer, and what it cost. Status `died` when there is none: the agent is to be closed then.

        `spare`: at a limit only what the agent started is killed, so that it answers. Raises SlotLost and TimeoutError.
        """

        def stop(_: Stopped) -> None:
            for pid in proctree.children(self.slot.pid):
                proctree.kill_below(pid)
                if not spare:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, 9)

        if self.ended:
            return await self._died("the agent has ended")
        self.slot.begin_part(limits, stop, exact=False)
        try:
            await self.channel.send(message)
            answer = await self.channel.receive(limits.wall_s + _GRACE_S)
        except ChannelLost as error:
            return await self._died(str(error))
        return answer, await self.end_part()

    async def tell(self, message: dict[str, Any]) -> tuple[Answer, Part] | None:
        """Ask for something that has no answer. Where the agent does not listen: its end, as of `ask`."""
        try:
            await self.channel.send(message)
        except ChannelLost as error:
            return await self._died(str(error))
        return None

    async def _died(self, why: str) -> tuple[Answer, Part]:
        self.kill()
        ended = await asyncio.wait_for(self._run, _GRACE_S)
        return Answer(Status.DIED, message=why, exit_code=ended.exit_code), part_of(ended)

    def kill(self) -> None:
        """End the agent and all that it started, without waiting."""
        self.channel.close()
        if not self._run.done():
            proctree.kill_below(self.slot.pid)

    async def end_part(self) -> Part:
        """What the part that is under way cost, up to here or to the end of the agent. Raises SlotLost."""
        return part_of(await self._run) if self.ended else self.slot.end_part()

    async def close(self) -> None:
        """End it; the slot is idle or closed afterwards."""
        self.kill()
        with contextlib.suppress(SlotLost, OSError):  # closed slots are replaced by their pool
            await asyncio.wait_for(self._run, _GRACE_S)
