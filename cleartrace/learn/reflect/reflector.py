"""The reflector that asks a model."""

from __future__ import annotations

from collections.abc import Sequence

from cleartrace.context.playbook.types import Playbook
from cleartrace.learn.calls import all_or_first_error
from cleartrace.learn.facts import Facts
from cleartrace.learn.prompts import Prompt
from cleartrace.learn.protocol import Reflection, Signal
from cleartrace.learn.rcl.streams import seed_of
from cleartrace.learn.reflect.prompt import PLAIN, Features, reflection_prompt
from cleartrace.learn.reflect.reply import clean, nothing, reflections, reply_model, unread
from cleartrace.learn.reflect.runs import BUDGET, Budget
from cleartrace.llm.protocol import LLM, Refused, Request, Role, Thinking
from cleartrace.llm.structured import complete_structured


class LLMReflector:
    """One call for each signal, or one over all of them (`Features.batched`).

    A content filter that stops the call over all falls back to one for each; one that stops a signal's own call gives a
    reflection without findings. The prompt is `reflection_prompt`, the reading `reply.reflections`: a reflector that
    examines runs with tools needs its own prompt and the same reading.

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
        """See `Reflector`. Runs that are probes or have no score are left out; a signal without others gives a
        reflection that says so (S8)."""
        usable = [kept for one in signals if (kept := clean(one)) is not None]
        skipped = [nothing((one,), "it has no clean run with a score") for one in signals if clean(one) is None]
        if self._features.batched and len(usable) > 1:
            try:
                found = await self._call(usable, playbook, seed_of(seed, "reflect"))
                return (*found, *skipped)
            except Refused:
                pass
        each = await all_or_first_error([self._alone(one, playbook, seed) for one in usable])
        return (*(one for found in each for one in found), *skipped)

    async def _alone(self, signal: Signal, playbook: Playbook, seed: int) -> tuple[Reflection, ...]:
        try:
            return await self._call([signal], playbook, seed_of(seed, "reflect", signal.task.id))
        except Refused as error:
            return (nothing((signal,), f"a content filter stopped the call: {error}"),)

    async def _call(self, signals: Sequence[Signal], playbook: Playbook, seed: int) -> tuple[Reflection, ...]:
        prompt = reflection_prompt(self._facts, self._features, self._budget, signals, playbook)
        model = reply_model(self._features.auxiliary, batched=len(signals) > 1)
        reply = await complete_structured(self._llm, self._request(prompt, seed), model)
        if reply.value is None:
            return (unread(reply.text, signals, f"the reply could not be read: {reply.error}", prompt.hash),)
        return reflections(reply.value, signals, playbook, prompt.hash)

    def _request(self, prompt: Prompt, seed: int) -> Request:
        return Request(
            role=Role.REFLECTOR,
            messages=prompt.messages,
            max_tokens=self._max_tokens,
            thinking=self._thinking,
            seed=seed,
        )
