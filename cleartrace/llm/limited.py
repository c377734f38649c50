"""No more at once, and no more in a minute, than an endpoint allows."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cleartrace.llm.endpoint import PerLoop
from cleartrace.llm.metered import largest
from cleartrace.llm.protocol import LLM, LLMError, Reply, Request

_WINDOW_S = 60.0


@dataclass(frozen=True)
class Rate:
    """Of any 60 seconds. Tokens: input by estimate and the limit of output, as endpoints count; then the real ones."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("requests", self.requests_per_minute), ("tokens", self.tokens_per_minute)):
            if value is not None and value < 1:
                raise ValueError(f"{value} {name} per minute would never let one through")


@dataclass
class _Sent:
    at: float
    tokens: float


class Limited:
    """Holds requests back; one attempt of a call takes one place."""

    def __init__(
        self,
        llm: LLM,
        concurrency: int = 8,
        rate: Rate | None = None,
        max_tokens: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency is at least 1, got {concurrency}")
        self._llm = llm
        self._places = PerLoop(lambda: asyncio.Semaphore(concurrency))
        self._rate = rate or Rate()
        self._max_tokens = max_tokens
        self._clock = clock
        self._sleep = sleep
        self._sent: deque[_Sent] = deque()

    @property
    def model(self) -> str:
        return self._llm.model

    async def close(self) -> None:
        await self._llm.close()

    async def complete(self, request: Request) -> Reply:
        """Waits for its turn. Raises what the endpoint raises."""
        async with self._places.get():
            sent = await self._turn(request)
            try:
                reply = await self._llm.complete(request)
            except LLMError as error:
                sent.tokens = error.usage.input_tokens + error.usage.output_tokens
                raise
            sent.tokens = reply.usage.input_tokens + reply.usage.output_tokens
            return reply

    async def _turn(self, request: Request) -> _Sent:
        if self._rate == Rate():
            return _Sent(0.0, 0.0)
        need = 0.0
        if self._rate.tokens_per_minute is not None:
            usage = largest(request, self._max_tokens, None)
            need = float(usage.input_tokens + usage.output_tokens)
        while (wait := self._wait_s(need)) > 0:
            await self._sleep(wait)
        sent = _Sent(self._clock(), need)
        self._sent.append(sent)
        return sent

    def _wait_s(self, need: float) -> float:
        """Until the oldest request leaves the window, where another does not fit; a huge one goes alone."""
        now = self._clock()
        while self._sent and self._sent[0].at <= now - _WINDOW_S:
            self._sent.popleft()
        if not self._sent:
            return 0.0
        requests, tokens = self._rate.requests_per_minute, self._rate.tokens_per_minute
        full = requests is not None and len(self._sent) + 1 > requests
        full = full or (tokens is not None and sum(sent.tokens for sent in self._sent) + need > tokens)
        return self._sent[0].at + _WINDOW_S - now if full else 0.0
