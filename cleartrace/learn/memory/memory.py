"""The memory with or without a model that comments on it."""

from __future__ import annotations

from cleartrace.context.playbook.render import View, render
from cleartrace.context.playbook.types import Playbook
from cleartrace.episodes.types import Record
from cleartrace.learn.facts import Facts
from cleartrace.learn.memory.document import LIST_ROWS, OptimizerState
from cleartrace.learn.memory.record import IterationRecord
from cleartrace.learn.memory.render import memory_text
from cleartrace.learn.memory.update import StateReply, from_facts, with_opinion
from cleartrace.learn.prompts import Prompt, compose
from cleartrace.learn.rcl.streams import seed_of
from cleartrace.learn.text import percent
from cleartrace.llm.protocol import LLM, Refused, Request, Role, Thinking
from cleartrace.llm.structured import complete_structured


class Remembered(Record):
    """The next state. `error`: why it holds facts alone where a model was asked. `dropped`: parts of its reply that do
    not fit."""

    state: OptimizerState
    prompt_hash: str = ""
    error: str = ""
    dropped: tuple[str, ...] = ()


class OptimizerMemory:
    """Takes iterations in. Holds no state: the loop keeps what `update` returns.

    Args:
        llm: None for inventory, edits and measured effects alone.
        max_history: rows that each list keeps.
    """

    def __init__(
        self,
        llm: LLM | None,
        facts: Facts,
        *,
        max_history: int = LIST_ROWS,
        thinking: Thinking = Thinking.HIGH,
        max_tokens: int | None = 8_192,
    ) -> None:
        if max_history < 1:
            raise ValueError(f"max_history is at least 1, got {max_history}")
        self._llm = llm
        self._facts = facts
        self._max_history = max_history
        self._thinking = thinking
        self._max_tokens = max_tokens

    async def update(self, state: OptimizerState, record: IterationRecord, playbook: Playbook, seed: int) -> Remembered:
        """The state after an iteration. `playbook`: as it is now, edits included.

        A reply that cannot be read, or that a content filter stops, leaves the facts. Raises other `LLMError`s.
        """
        facts = from_facts(state, record, playbook, self._max_history)
        if self._llm is None:
            return Remembered(state=facts)
        prompt = state_prompt(self._facts, facts, record, playbook)
        request = Request(
            role=Role.STATE,
            messages=prompt.messages,
            thinking=self._thinking,
            max_tokens=self._max_tokens,
            seed=seed_of(seed, "memory", record.iteration),
        )
        try:
            reply = await complete_structured(self._llm, request, StateReply)
        except Refused as error:
            reason = f"a content filter stopped the call: {error}"
            return Remembered(state=facts, prompt_hash=prompt.hash, error=reason)
        if reply.value is None:
            reason = f"the reply could not be read: {reply.error}"
            return Remembered(state=facts, prompt_hash=prompt.hash, error=reason)
        state = with_opinion(facts, reply.value, self._max_history)
        return Remembered(state=state, prompt_hash=prompt.hash, dropped=reply.value.dropped)


def state_prompt(facts: Facts, state: OptimizerState, record: IterationRecord, playbook: Playbook) -> Prompt:
    """The prompt that asks for an opinion on `state`, which has the facts of `record` already."""
    return compose(
        "state",
        facts=facts,
        playbook=render(playbook, View.REFLECTOR).text,
        memory=memory_text(state, recent=len(state.change_ledger)),
        iterations=[row.iteration for row in state.change_ledger],
        record=record,
        train_pass=percent(record.train_pass),
        train_tgc=percent(record.train_tgc),
    )
