"""A load of HTTP requests that costs little itself: connections are kept, requests are made ready before."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Load:
    """What came back. `runs` counts programs, `failed` those that did not end as expected; seconds per request."""

    seconds: float = 0.0
    runs: int = 0
    failed: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.runs / self.seconds

    def percentile(self, percent: float) -> float:
        """Milliseconds."""
        rows = sorted(self.latencies)
        return 1000 * rows[min(len(rows) - 1, int(percent / 100 * len(rows)))]

    @asynccontextmanager
    async def timed(self) -> AsyncIterator[None]:
        """One request."""
        begun = time.perf_counter()
        yield
        self.latencies.append(time.perf_counter() - begun)


class Connection:
    """One kept connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> Connection:
        host, _, port = url.rpartition("//")[2].partition(":")
        return cls(*await asyncio.open_connection(host, int(port), limit=1 << 26))

    async def post(self, request: bytes) -> tuple[int, bytes]:
        """Status and body."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        size = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        return int(lines[0].split()[1]), await self._reader.readexactly(size)

    async def first_line(self, request: bytes) -> bytes:
        """The first line of a streamed answer. Nothing else can be asked over this connection."""
        self._writer.write(request)
        await self._reader.readuntil(b"\r\n\r\n")
        await self._reader.readline()  # the size of the first chunk
        return await self._reader.readline()

    def close(self) -> None:
        self._writer.close()


def request_bytes(url: str, token: str, path: str, body: Any, method: str = "POST", accept: str = "*/*") -> bytes:
    """A whole request."""
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: {url.rpartition('//')[2]}\r\nAuthorization: Bearer {token}\r\n"
    head += f"Accept: {accept}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def together(clients: int, client: Callable[[Load], Awaitable[None]]) -> Load:
    """What `clients` of them do at the same time, from the first one's start to the last one's end."""
    load = Load()
    begun = time.perf_counter()
    await asyncio.gather(*(client(load) for _ in range(clients)))
    load.seconds = time.perf_counter() - begun
    return load


async def post_all(url: str, requests: Iterator[bytes], clients: int, runs_each: int, oks_each: int) -> Load:
    """Send all requests over `clients` connections. A request is good with HTTP 200 and as many `ok` as it should."""

    async def client(load: Load) -> None:
        connection = await Connection.open(url)
        try:
            for request in requests:
                async with load.timed():
                    status, body = await connection.post(request)
                load.runs += runs_each
                good = status == 200 and body.count(b'"outcome":"ok"') == oks_each
                load.failed += 0 if good else runs_each
        finally:
            connection.close()

    return await together(clients, client)
