"""Runs shortened by a model, for a mutator that is not to read them whole."""

from __future__ import annotations

from collections.abc import Sequence

from cleartrace.learn.calls import all_or_first_error
from cleartrace.learn.mutate.findings import findings
from cleartrace.learn.prompts import compose
from cleartrace.learn.protocol import Reflection, Signal
from cleartrace.learn.rcl.streams import seed_of
from cleartrace.learn.reflect.runs import BUDGET, Budget, material
from cleartrace.learn.reflect.tasks import runs_in, shown
from cleartrace.llm.protocol import LLM, Malformed, Refused, Request, Role, Thinking

WORDS = 250


class Summariser:
    """One call for each task makes a text of its runs and of what was found about them; `words`: how long it may be."""

    def __init__(
        self,
        llm: LLM,
        *,
        words: int = WORDS,
        budget: Budget = BUDGET,
        thinking: Thinking = Thinking.DEFAULT,
        max_tokens: int | None = 4_096,
    ) -> None:
        self._llm = llm
        self._words = words
        self._budget = budget
        self._thinking = thinking
        self._max_tokens = max_tokens

    async def summaries(self, signals: Sequence[Signal], reflections: Sequence[Reflection], seed: int) -> list[str]:
        """One for each signal, in order; of a call without an answer, a note. Raises other `LLMError`s."""
        return await all_or_first_error([self._one(signal, reflections, seed) for signal in signals])

    async def _one(self, signal: Signal, reflections: Sequence[Reflection], seed: int) -> str:
        own = [one for one in reflections if one.task_ids == (signal.task.id,)]
        task = shown(signal, self._budget, self._budget.for_runs(runs_in([signal])))
        prompt = compose("summary", words=self._words, task=task.text, runs=task.runs, finding=findings(own, [signal]))
        request = Request(
            role=Role.SUMMARY,
            messages=prompt.messages,
            thinking=self._thinking,
            max_tokens=self._max_tokens,
            seed=seed_of(seed, "summary", signal.task.id),
        )
        try:
            text = (await self._llm.complete(request)).text.strip()
        except (Refused, Malformed) as error:
            text = f"(no summary: {error})"
        return f"## Task {signal.task.id}\n\n{material('summary', text)}"
