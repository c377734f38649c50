"""A model that answers from a function or a list: for tests, and for runs without any endpoint."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable

from cleartrace.episodes.types import Usage
from cleartrace.llm.protocol import Finish, LLMError, Message, Rejected, Reply, Request
from cleartrace.llm.tokens import count_tokens

Answer = str | Message | Reply | LLMError
"""Text, a message with calls, a whole reply, or an error to raise."""
Script = Callable[[Request], "Answer | Awaitable[Answer]"]


class Scripted:
    """Answers by `script(request)`, or with one item of a list after the other.

    A text or a message is charged by estimate: 1 call, `count_tokens` of what was said both ways. `requests` keeps what
    was asked, in order.

    Example:
        >>> import asyncio
        >>> from cleartrace.llm.protocol import Message, Request, Role
        >>> llm = Scripted(["forty-two"])
        >>> ask = Request(role=Role.AGENT, messages=(Message(role="user", content="6 * 7?"),))
        >>> asyncio.run(llm.complete(ask)).text
        'forty-two'
    """

    def __init__(self, script: Script | Iterable[Answer], model: str = "scripted/model") -> None:
        self._script = script if callable(script) else _in_order(list(script))
        self._model = model
        self.requests: list[Request] = []

    @property
    def model(self) -> str:
        return self._model

    async def complete(self, request: Request) -> Reply:
        """Raises `Rejected` when the list is used up, and whatever error the script says."""
        self.requests.append(request)
        answer = self._script(request)
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, LLMError):
            raise answer
        if isinstance(answer, Reply):
            return answer
        message = Message(role="assistant", content=answer) if isinstance(answer, str) else answer
        finish = Finish.CALLS if message.calls else Finish.STOP
        return Reply(message=message, usage=_usage(request, message), finish=finish, model=self._model)

    async def close(self) -> None:
        """Nothing is held open."""


def _in_order(answers: list[Answer]) -> Script:
    left = iter(answers)

    def script(request: Request) -> Answer:
        for answer in left:
            return answer
        return Rejected(f"the script holds {len(answers)} answers, and all are given; asked: {_last(request)!r}")

    return script


def _last(request: Request) -> str:
    return request.messages[-1].content[:200] if request.messages else ""


def _usage(request: Request, message: Message) -> Usage:
    read = sum(count_tokens(sent.content) for sent in request.messages)
    wrote = count_tokens(message.content) + sum(count_tokens(call.name + call.raw) for call in message.calls)
    return Usage(calls=1, input_tokens=read, output_tokens=wrote)
