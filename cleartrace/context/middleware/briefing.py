"""Asks a provider once for each conversation, and remembers what was said."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from cleartrace.context.middleware.conversation import Shape, task_text, with_text
from cleartrace.context.provider import ContextProvider
from cleartrace.episodes.types import Context, Record, Task

T = TypeVar("T")
REMEMBERED = 10_000
"""Conversations whose contexts are kept; the one that was used longest ago goes first."""


class Added(Record):
    """What one conversation was given. `failure`: why it was given nothing although it should have been."""

    task: Task
    context: Context
    failure: str = ""


class Briefing:
    """A provider in front of an agent. May be used from any number of event loops and threads.

    Args:
        environment: what a provider is told of where the task comes from. A trained model wants the name it saw in
            training.
        seed: of every context.
        required: a provider that fails is an error; otherwise the conversation goes on without, and `Added.failure`
            says so.
        make_task: from the text of the first user message to a task, for providers that go by more than its text.
        heard: called once for each conversation.
    """

    def __init__(
        self,
        provider: ContextProvider,
        *,
        environment: str = "chat",
        seed: int = 0,
        required: bool = True,
        make_task: Callable[[str], Task] | None = None,
        heard: Callable[[Added], None] | None = None,
    ) -> None:
        self.provider, self.environment, self.seed = provider, environment, seed
        self._required, self._make_task, self._heard = required, make_task, heard
        self._answers: OrderedDict[str, Added] = OrderedDict()
        self._flying: dict[tuple[int, str], asyncio.Task[Added]] = {}
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def added(self) -> list[Added]:
        """One for each conversation that is remembered, the latest last."""
        with self._lock:
            return list(self._answers.values())

    async def body(self, body: Mapping[str, Any], shape: Shape) -> tuple[dict[str, Any], Added | None]:
        """A request with its context, and what was added; the request itself and None where it opens no conversation.

        Raises what the provider raises, where the context is required.
        """
        text = task_text(body, shape)
        if text is None:
            return dict(body), None
        added = await self.for_text(text)
        return (with_text(body, shape, added.context.text) if added.context.text else dict(body)), added

    def body_now(self, body: Mapping[str, Any], shape: Shape) -> tuple[dict[str, Any], Added | None]:
        """`body` for callers without an event loop."""
        return self._wait(self.body(body, shape))

    async def for_text(self, text: str) -> Added:
        """The context of the conversation that `text` opens."""
        task = self.task(text)
        key = hashlib.sha256(task.canonical().encode("utf-8", "surrogatepass")).hexdigest()
        if (known := self._known(key)) is not None:
            return known
        # One call for all who ask at once. A task belongs to an event loop.
        slot = (id(asyncio.get_running_loop()), key)
        flying = self._flying.get(slot)
        if flying is None:
            flying = self._flying[slot] = asyncio.ensure_future(self._ask(task, key))
            flying.add_done_callback(lambda _: self._flying.pop(slot, None))
        # Who hangs up must not take the answer from those who still wait.
        return await asyncio.shield(flying)

    def task(self, text: str) -> Task:
        if self._make_task is not None:
            return self._make_task(text)
        id = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return Task(environment=self.environment, id=id, input=text)

    async def _ask(self, task: Task, key: str) -> Added:
        try:
            added = Added(task=task, context=await self.provider.context_for(task, self.seed))
        except Exception as error:
            if self._required:
                raise
            context = Context(provider_hash=self.provider.hash, abstained=True)
            added = Added(task=task, context=context, failure=f"{type(error).__name__}: {error}")
        with self._lock:
            first = key not in self._answers
            added = self._answers.setdefault(key, added)
            while len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)
        if first and self._heard is not None:
            self._heard(added)
        return added

    def _known(self, key: str) -> Added | None:
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
            return self._answers.get(key)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Its result, made in an event loop of our own: the caller's thread may run one that must not be entered."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="context", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def close(self) -> None:
        """Ends the provider's connections, and the thread that served callers without an event loop."""
        closing = getattr(self.provider, "close", None)
        if closing is not None:
            await closing()
        loop, self._loop = self._loop, None
        if loop is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.stop)
