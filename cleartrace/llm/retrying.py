"""The same request again, where its error says that this may help."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass

from cleartrace.llm.ledger import Account, Ledger
from cleartrace.llm.protocol import LLM, BudgetExhausted, LLMError, RateLimited, Reply, Request


@dataclass(frozen=True)
class RetryPolicy:
    """Wait `base_s`, twice that, and so on up to `max_s`, each 20 % more or less.

    Args:
        tries: in all.
        longest_wait_s: an endpoint that asks for more is not waited for.
    """

    tries: int = 5
    base_s: float = 1.0
    max_s: float = 30.0
    longest_wait_s: float = 120.0

    def wait_s(self, error: LLMError, tried: int, draw: float) -> float | None:
        """Seconds before the next try after `tried` ones; None where there is none. `draw`: uniform in [0, 1)."""
        if not error.retry or tried >= self.tries:
            return None
        asked = error.wait_s if isinstance(error, RateLimited) else None
        if asked is not None and asked > self.longest_wait_s:
            return None
        wait = min(self.max_s, self.base_s * 2 ** (tried - 1)) * (0.8 + 0.4 * draw)
        return max(wait, asked) if asked is not None else wait


@dataclass
class Outage:
    """Time that the calls of one run, made one after the other, lost to endpoints that failed.

    A stretch of it begins with an attempt that fails and ends where the attempt begins that is answered.

    Args:
        since: when the present stretch began, on `time.monotonic`; a call that is cancelled in one leaves it open.
        over_s: seconds of those before.
    """

    since: float | None = None
    over_s: float = 0.0

    @property
    def lost_s(self) -> float:
        """Seconds of all."""
        return self.over_s + (0.0 if self.since is None else time.monotonic() - self.since)

    def failed(self, began: float) -> None:
        """An attempt that began then has failed."""
        if self.since is None:
            self.since = began

    def answered(self, began: float) -> None:
        """An attempt that began then was answered."""
        if self.since is not None:
            self.over_s += began - self.since
            self.since = None


OUTAGE: ContextVar[Outage | None] = ContextVar("outage", default=None)
"""Of the present run, where somebody wants to know."""


class Retrying:
    """Decides by the type of the error alone. Draws from a stream of its own (S11)."""

    def __init__(
        self,
        llm: LLM,
        policy: RetryPolicy | None = None,
        seed: int = 0,
        ledger: Ledger | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._llm = llm
        self._policy = policy or RetryPolicy()
        self._draws = random.Random(f"{seed}:llm.retry:{llm.model}")
        self._ledger = ledger
        self._sleep = sleep

    @property
    def model(self) -> str:
        return self._llm.model

    async def close(self) -> None:
        await self._llm.close()

    async def complete(self, request: Request) -> Reply:
        """Raises the last error, with the number of tries in its text where there were several."""
        outage, tried = OUTAGE.get() or Outage(), 0
        while True:
            tried += 1
            began = time.monotonic()
            try:
                reply = await self._llm.complete(request)
                outage.answered(began)
                self._again(request, tried)
                return reply
            except BudgetExhausted:
                raise
            except LLMError as error:
                (outage.failed if error.retry else outage.answered)(began)
                self._again(request, tried)
                wait = self._policy.wait_s(error, tried, self._draws.random())
                if wait is None:
                    if tried > 1:
                        error.args = (f"{error} ({tried} tries)", *error.args[1:])
                    raise
                await self._sleep(wait)

    def _again(self, request: Request, tried: int) -> None:
        if tried > 1 and self._ledger is not None:
            self._ledger.add(request.role, Account(retries=1))
