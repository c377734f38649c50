"""Messages between a supervisor and an agent inside a slot: a length, then JSON. What comes back is not trusted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from code_judge.sandbox.answers import Answer, Malformed

_HEADER = struct.Struct("!I")
_SEND_S = 5.0


class ChannelLost(RuntimeError):
    """The other process is gone, or what it said is no answer; the text says which."""


@dataclass
class Channel:
    """The supervisor's end. An answer of more than `max_reply` bytes is none.

    Read as JSON it may take thirty times its bytes, for as long as somebody holds it.
    """

    socket: socket.socket
    max_reply: int
    _users: int = 0
    _closed: bool = False

    @classmethod
    def pair(cls, max_reply: int) -> tuple[Channel, socket.socket]:
        """The supervisor's end, and the agent's, to be passed on and closed."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        return cls(ours, max_reply), theirs

    async def send(self, message: dict[str, Any], *descriptors: int) -> None:
        """Raises ChannelLost."""
        data = json.dumps(message).encode()
        loop = asyncio.get_running_loop()
        try:
            with self._in_use():
                socket.send_fds(self.socket, [_HEADER.pack(len(data))], list(descriptors))
                await asyncio.wait_for(loop.sock_sendall(self.socket, data), _SEND_S)
        except (OSError, asyncio.TimeoutError) as error:
            raise ChannelLost(f"the agent does not read: {type(error).__name__} {error}") from None

    async def receive(self, timeout_s: float) -> Answer:
        """The next answer. Raises ChannelLost, also for what is none."""
        try:
            with self._in_use():
                return Answer.of(await asyncio.wait_for(self._read(), timeout_s))
        except Malformed as error:
            raise ChannelLost(f"the agent gave {error}") from None
        except (EOFError, OSError, ValueError, RecursionError, asyncio.TimeoutError) as error:
            raise ChannelLost(f"the agent is gone: {type(error).__name__} {error}") from None

    async def _read(self) -> Any:
        size = _HEADER.unpack(await self._exactly(_HEADER.size))[0]
        if size > self.max_reply:
            raise ValueError(f"a reply of {size} bytes")
        return json.loads(await self._exactly(size))

    async def _exactly(self, size: int) -> bytes:
        loop, data = asyncio.get_running_loop(), bytearray()
        while len(data) < size:
            part = await loop.sock_recv(self.socket, min(size - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def close(self) -> None:
        """Whoever waits for an answer raises ChannelLost at once."""
        self._closed = True
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self._release()

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._release()

    def _release(self) -> None:
        """The event loop knows sockets by number: one that it waits for may not become somebody else's yet."""
        if self._closed and not self._users:
            self.socket.close()
