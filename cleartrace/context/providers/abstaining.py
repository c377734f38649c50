"""Saying nothing where context is not expected to help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from cleartrace.context.provider import ContextProvider
from cleartrace.context.providers.base import answer, probe_of, state_hash
from cleartrace.context.providers.search import Method, index_of
from cleartrace.episodes.types import Context, Task
from cleartrace.llm.tokens import count_tokens


class Rule(Protocol):
    """When to say nothing; known from the task alone, so that nobody is asked in vain."""

    @property
    def hash(self) -> str: ...

    def abstains(self, task: Task) -> bool: ...


class SolvedAlone:
    """Abstain on tasks that the agent solves without context: `rates` of passes by task id, measured before."""

    def __init__(self, rates: Mapping[str, float], at_least: float = 1.0) -> None:
        self._rates, self._at_least = dict(rates), at_least

    @property
    def hash(self) -> str:
        return state_hash("solved_alone", sorted(id for id, rate in self._rates.items() if rate >= self._at_least))

    def abstains(self, task: Task) -> bool:
        return self._rates.get(task.id, 0.0) >= self._at_least


class Unlike:
    """Abstain on tasks that are like none of `texts`, those that advice was learned from: TF-IDF cosine below
    `at_least`."""

    def __init__(self, texts: Sequence[str], at_least: float = 0.1) -> None:
        self._texts, self._at_least = tuple(texts), at_least
        self._index = index_of(Method.TFIDF, self._texts)

    @property
    def hash(self) -> str:
        return state_hash("unlike", self._texts, self._at_least)

    def abstains(self, task: Task) -> bool:
        return max(self._index.scores(task.input), default=0.0) < self._at_least


class Abstaining:
    """Another provider, except where `rule` says nothing."""

    def __init__(self, provider: ContextProvider, rule: Rule) -> None:
        self.provider, self.rule = provider, rule
        self.cap = getattr(provider, "cap", None)
        self.count = getattr(provider, "count", count_tokens)

    @property
    def probe(self) -> str:
        return probe_of(self.provider)

    @property
    def hash(self) -> str:
        return state_hash("abstaining", self.provider.hash, self.rule.hash)

    async def context_for(self, task: Task, seed: int) -> Context:
        if self.rule.abstains(task):
            return answer("", (), self.hash, self.cap, probe=self.probe)
        said = await self.provider.context_for(task, seed)
        return said.model_copy(update={"provider_hash": self.hash})

    async def close(self) -> None:
        """Of the provider that abstains, where it has connections."""
        closing = getattr(self.provider, "close", None)
        if closing is not None:
            await closing()
