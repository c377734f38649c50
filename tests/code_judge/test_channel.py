"""A channel that is closed while somebody waits on it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct

import pytest

from code_judge.sandbox.channel import Channel, ChannelLost


def say(agent: socket.socket, **answer: object) -> None:
    data = json.dumps(answer).encode()
    agent.sendall(struct.pack("!I", len(data)) + data)


def test_closing_ends_the_wait_and_leaves_other_channels_alone():
    """The next socket gets the number of the closed one; an event loop that still waited for it would be deaf."""

    async def run() -> None:
        first, theirs = Channel.pair(1000)
        waiting = asyncio.create_task(first.receive(30))
        await asyncio.sleep(0.01)
        first.close()
        second, agent = Channel.pair(1000)
        answer = asyncio.create_task(second.receive(10))
        with pytest.raises(ChannelLost, match="the agent is gone"):
            await asyncio.wait_for(waiting, 5)
        third, other = Channel.pair(1000)
        reading = asyncio.create_task(third.receive(10))
        await asyncio.sleep(0.01)
        say(agent, status="ok")
        say(other, status="ok")
        await asyncio.wait_for(asyncio.gather(answer, reading), 5)
        for one in (second, third, theirs, agent, other):
            one.close()

    asyncio.run(run())


def test_a_channel_that_was_closed_can_be_closed_again_and_is_lost():
    async def run() -> None:
        channel, theirs = Channel.pair(1000)
        channel.close()
        channel.close()
        with pytest.raises(ChannelLost):
            await channel.receive(1)
        with pytest.raises(ChannelLost):
            await channel.send({"op": "x"})
        theirs.close()

    asyncio.run(run())
