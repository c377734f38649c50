"""The reflector that asks a model."""

from __future__ import annotations

from collections.abc import Sequence

from cleartrace.context.playbook.types import Playbook
from cleartrace.learn.facts import Facts
from cleartrace.learn.prompts import Prompt
from cleartrace.learn.protocol import Reflection, Signal
from cleartrace.learn.reflect.each import reflect_on
from cleartrace.learn.reflect.prompt import PLAIN, Features, reflection_prompt
from cleartrace.learn.reflect.reply import read, reply_model
from cleartrace.learn.reflect.runs import BUDGET, Budget
from cleartrace.llm.protocol import LLM, Request, Role, Thinking
from cleartrace.llm.structured import complete_structured


class LLMReflector:
    """One call for each signal, or one over all of them (`Features.batched`).

    The prompt shows the runs, cut to a budget; `ShellReflector` reads them whole.

    Args:
        budget: how much of the runs a prompt shows.
        max_tokens: of one reply.
    """

    def __init__(
        self,
        llm: LLM,
        facts: Facts,
        features: Features = PLAIN,
        *,
        budget: Budget = BUDGET,
        thinking: Thinking = Thinking.DEFAULT,
        max_tokens: int | None = 8_192,
    ) -> None:
        self._llm = llm
        self._facts = facts
        self._features = features
        self._budget = budget
        self._thinking = thinking
        self._max_tokens = max_tokens

    async def reflect(self, signals: Sequence[Signal], playbook: Playbook, seed: int) -> tuple[Reflection, ...]:
        """See `Reflector` and `reflect_on`."""
        return await reflect_on(
            signals, lambda some, seed: self._call(some, playbook, seed), self._features.batched, seed
        )

    async def _call(self, signals: Sequence[Signal], playbook: Playbook, seed: int) -> tuple[Reflection, ...]:
        prompt = reflection_prompt(self._facts, self._features, self._budget, signals, playbook)
        model = reply_model(self._features.auxiliary, batched=len(signals) > 1)
        reply = await complete_structured(self._llm, self._request(prompt, seed), model)
        return read(reply, reply.text, signals, playbook, prompt.hash)

    def _request(self, prompt: Prompt, seed: int) -> Request:
        return Request(
            role=Role.REFLECTOR,
            messages=prompt.messages,
            max_tokens=self._max_tokens,
            thinking=self._thinking,
            seed=seed,
        )
