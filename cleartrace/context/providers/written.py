"""Guidance that a model writes for each task, alone or behind what was retrieved."""

from __future__ import annotations

import asyncio
import json

from cleartrace.context.provider import ContextProvider
from cleartrace.context.providers.base import Count, answer, cap_state, cut_to, probe_of, state_hash
from cleartrace.episodes.types import Context, PartKind, PartRef, Task, Usage
from cleartrace.llm.protocol import LLM, Finish, Message, Reply, Request, Role
from cleartrace.llm.tokens import count_tokens

NOTHING = "NONE"
SYSTEM = f"""You brief an agent before it starts on a task. You see the task as the agent sees it, and nothing else.

Write what makes success more likely on this task: steps that are easy to leave out, things to look up before acting, \
checks to make before it declares itself done, and mistakes that tasks like this one invite.

- Speak to the agent, in short imperative sentences, one a line.
- Do not do the task, and do not state results, names or values that the task does not state. You cannot know them.
- Say only what this task calls for. Leave out what any careful agent does anyway.
- If you have nothing of that kind to say, reply with the one word {NOTHING}."""


class Model:
    """A context augmentation model: it reads the task and writes guidance, or says that none is needed.

    An answer is made once for each task and seed and then kept, so that it stays the same while the provider lives,
    also from an endpoint that does not honour seeds. What is longer than `cap` tokens is cut at a line, a sentence or a
    word.

    Args:
        temperature, max_tokens: of the call; None leaves them to the endpoint.
        system: the instruction, where a trained model was trained under another one.
    """

    def __init__(
        self,
        llm: LLM,
        cap: int | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        system: str = SYSTEM,
        count: Count = count_tokens,
    ) -> None:
        self.llm, self.cap, self.count = llm, cap, count
        self._temperature, self._max_tokens, self._system = temperature, max_tokens, system
        self._answers: dict[str, Context] = {}
        self._locks: dict[tuple[int, str], asyncio.Lock] = {}

    @property
    def hash(self) -> str:
        sampling = [self._temperature, self._max_tokens]
        return state_hash("model", self.llm.model, self._system, sampling, cap_state(self.cap, self.count))

    async def context_for(self, task: Task, seed: int) -> Context:
        """Raises `LLMError` where the model gives no reply."""
        return await self.write(task, seed)

    async def write(self, task: Task, seed: int, beside: str = "", cap: int | None = None) -> Context:
        """`beside`: what the agent is given anyway. `cap`: less than the provider's own, where there is less room."""
        room = min((n for n in (cap, self.cap) if n is not None), default=None)
        key = state_hash("answer", task.canonical(), seed, beside, room)
        if key in self._answers:
            return self._answers[key]
        # One call for all who ask at once. A lock belongs to an event loop.
        slot = (id(asyncio.get_running_loop()), key)
        async with self._locks.setdefault(slot, asyncio.Lock()):
            if key not in self._answers:
                self._answers[key] = await self._ask(task, seed, beside, room)
        self._locks.pop(slot, None)
        return self._answers[key]

    async def close(self) -> None:
        await self.llm.close()

    async def _ask(self, task: Task, seed: int, beside: str, cap: int | None) -> Context:
        messages = (Message(role="system", content=self._system), Message(role="user", content=question(task, beside)))
        reply = await self.llm.complete(
            Request(
                role=Role.CONTEXT,
                messages=messages,
                seed=seed,
                temperature=self._temperature,
                max_tokens=self._max_tokens,
            )
        )
        text = cut_to(_guidance(reply), cap, self.count)
        sample = PartRef(kind=PartKind.SAMPLE, id=state_hash("sample", text, seed))
        return answer(text, (sample,), self.hash, cap, self.count, usage=reply.usage)


def question(task: Task, beside: str = "") -> str:
    """What the model is asked: the task as an agent sees it, and no more."""
    parts = [f"Environment: {task.environment}", f"The task:\n{task.input}"]
    if task.metadata:
        parts.append(f"Further facts:\n{json.dumps(task.metadata, ensure_ascii=False, sort_keys=True, default=str)}")
    if beside:
        parts.append(f"The agent is given this as well; add to it and do not repeat it:\n{beside}")
    return "\n\n".join(parts)


def guidance_in(text: str) -> str:
    """What a model's reply tells the agent: "" where it is empty or the word with which the model abstains.

    Example:
        >>> guidance_in(" *none*. "), guidance_in(" Look up the date. ")
        ('', 'Look up the date.')
    """
    return "" if text.strip(" \n.*`\"'").upper() == NOTHING else text.strip()


def _guidance(reply: Reply) -> str:
    return "" if reply.finish is Finish.FILTERED else guidance_in(reply.text)


class Hybrid:
    """What was retrieved, and behind it what a model adds, knowing it. `cap` holds for both together.

    The model has what room is left; where that is none, it is not asked.
    """

    def __init__(self, retrieved: ContextProvider, writer: Model, cap: int | None = None) -> None:
        self.retrieved, self.writer = retrieved, writer
        caps = [getattr(retrieved, "cap", None), writer.cap]
        self.cap = cap if cap is not None or None in caps else sum(n for n in caps if n is not None)
        self.count = writer.count

    @property
    def probe(self) -> str:
        return probe_of(self.retrieved)

    @property
    def hash(self) -> str:
        return state_hash("hybrid", self.retrieved.hash, self.writer.hash, cap_state(self.cap, self.count))

    async def context_for(self, task: Task, seed: int) -> Context:
        """Raises `LLMError` where the model gives no reply."""
        found = await self.retrieved.context_for(task, seed)
        if self.cap is not None and self.count(found.text) > self.cap:
            found = answer("", (), found.provider_hash, None, probe=found.probe, usage=found.usage)
        between = "\n\n" if found.text else ""
        room = None if self.cap is None else self.cap - self.count(found.text + between)
        if room is not None and room <= 0:
            return answer(found.text, found.parts, self.hash, self.cap, self.count, found.probe, found.usage)
        added = await self.writer.write(task, seed, found.text, room)
        text, parts = found.text + between + added.text, found.parts + added.parts
        if not added.text or (self.cap is not None and self.count(text) > self.cap):
            text, parts = found.text, found.parts
        usage: Usage = found.usage + added.usage
        return answer(text, parts, self.hash, self.cap, self.count, found.probe, usage)

    async def close(self) -> None:
        await self.writer.close()
