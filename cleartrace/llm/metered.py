"""Every request that is sent goes into the ledger, and none is sent that the budget does not hold."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from cleartrace.episodes.types import Usage
from cleartrace.llm.budget import Budget
from cleartrace.llm.ledger import Account, Ledger
from cleartrace.llm.protocol import LLM, LLMError, Reply, Request
from cleartrace.llm.tokens import count_tokens

UNKNOWN_OUTPUT = 4096
"""Tokens reserved for a reply whose length nobody limits."""


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens. `cached`: of input read from the endpoint's cache; by default that of other input."""

    input: float
    output: float
    cached: float | None = None

    def of(self, usage: Usage) -> float:
        cached = self.input if self.cached is None else self.cached
        fresh = usage.input_tokens - usage.cached_tokens
        return (fresh * self.input + usage.cached_tokens * cached + usage.output_tokens * self.output) / 1e6


def read_prices(path: Path) -> dict[str, Price]:
    """A YAML or JSON file: `{provider/model: {input: 1.25, cached: 0.125, output: 10}}`. Raises ValueError."""
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        return {str(model): Price(**price) for model, price in said.items()}
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f"{path}: want a price table of the form provider/model: {{input: $, output: $}} per million "
            f"tokens ({error})"
        ) from None


def largest(request: Request, max_tokens: int | None, price: Price | None) -> Usage:
    """The most that a request is expected to take, by estimate of its input and its limit of output."""
    said = [message.model_dump(include={"content", "thought", "calls"}) for message in request.messages]
    tools = [tool.model_dump() for tool in request.tools]
    read = count_tokens(json.dumps([said, tools, request.schema_], ensure_ascii=False))
    limit = request.max_tokens if request.max_tokens is not None else max_tokens
    usage = Usage(calls=1, input_tokens=read, output_tokens=UNKNOWN_OUTPUT if limit is None else limit)
    return usage.model_copy(update={"cost": price.of(usage)}) if price else usage


def _estimated(request: Request, reply: Reply) -> Usage:
    """For an endpoint that names no tokens."""
    wrote = "".join([reply.message.thought, reply.text, *(call.name + call.raw for call in reply.message.calls)])
    return largest(request, None, None).model_copy(update={"output_tokens": count_tokens(wrote)})


class Metered:
    """Counts attempts: it stands inside the retries, so that a failed one that was charged counts too.

    Args:
        max_tokens: limit of output of requests that set none, where there is one.
    """

    def __init__(
        self,
        llm: LLM,
        ledger: Ledger,
        budget: Budget | None = None,
        price: Price | None = None,
        max_tokens: int | None = None,
    ) -> None:
        if budget is not None and budget.limits_cost and price is None:
            raise ValueError(f"the budget limits the cost, and there is no price of {llm.model}: give its price")
        self._llm = llm
        self._ledger = ledger
        self._budget = budget
        self._price = price
        self._max_tokens = max_tokens
        self._longest_s = 0.0

    @property
    def model(self) -> str:
        return self._llm.model

    async def close(self) -> None:
        await self._llm.close()

    async def complete(self, request: Request) -> Reply:
        """Raises `BudgetExhausted` before anything is sent, and what the endpoint raises."""
        if self._budget is None:
            return await self._send(request)
        need = largest(request, self._max_tokens, self._price).model_copy(update={"seconds": self._longest_s})
        ticket = await self._budget.reserve(request.role, need)
        try:
            return await self._send(request)
        finally:
            self._budget.release(ticket)

    async def _send(self, request: Request) -> Reply:
        began = time.perf_counter()
        try:
            reply = await self._llm.complete(request)
        except LLMError as error:
            error.usage = self._count(request, error.usage, began, type(error).__name__)
            raise
        except BaseException as error:
            self._count(request, Usage(), began, type(error).__name__)
            raise
        usage, estimated = reply.usage, 0
        if not usage.input_tokens and not usage.output_tokens:
            usage, estimated = _estimated(request, reply), 1
        return reply.model_copy(update={"usage": self._count(request, usage, began, estimated=estimated)})

    def _count(self, request: Request, usage: Usage, began: float, error: str = "", estimated: int = 0) -> Usage:
        seconds = time.perf_counter() - began
        self._longest_s = max(self._longest_s, seconds)
        has_tokens = usage.input_tokens + usage.output_tokens > 0
        cost = usage.cost if usage.cost is not None else self._price.of(usage) if self._price else None
        usage = usage.model_copy(update={"calls": 1, "seconds": seconds, "cost": cost})
        self._ledger.add(
            request.role,
            Account(
                attempts=1,
                errors={error: 1} if error else {},
                usage=usage,
                unpriced=int(has_tokens and cost is None),
                estimated=estimated,
            ),
        )
        return usage
