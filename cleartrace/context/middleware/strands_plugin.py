"""A plugin for agents of Strands (PyPI `strands-agents`): `Agent(plugins=[ContextPlugin(provider)])`."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from cleartrace.context.middleware.briefing import Added, Briefing
from cleartrace.context.provider import ContextProvider

try:
    from strands import Agent  # pyright: ignore[reportMissingImports]
    from strands.hooks import BeforeInvocationEvent  # pyright: ignore[reportMissingImports]
    from strands.plugins import Plugin  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise ImportError(f"this needs the package strands-agents ({error}): pip install 'cleartrace[strands]'") from error


class ContextPlugin(Plugin):
    """Puts a provider's context behind an agent's system prompt before the first turn of each conversation.

    A conversation begins when the agent has no messages, and also where a session manager brought its messages back.
    After that the system prompt is left alone, whatever a conversation manager drops.

    Args:
        provider: or a `Briefing`, for its options. `plugin.briefing.added` says what was added.
    """

    def __init__(self, provider: ContextProvider | Briefing, *, environment: str = "chat") -> None:
        super().__init__()
        self.briefing = provider if isinstance(provider, Briefing) else Briefing(provider, environment=environment)
        self._given: WeakKeyDictionary[Agent, Added] = WeakKeyDictionary()

    @property
    def name(self) -> str:
        return "cleartrace-context"

    def init_agent(self, agent: Agent) -> None:
        agent.add_hook(self._before, BeforeInvocationEvent)

    async def _before(self, event: BeforeInvocationEvent) -> None:
        agent = event.agent
        if agent.messages and agent in self._given:
            return
        text = _first_text([*agent.messages, *(event.messages or ())])
        if not text:
            return
        before = self._given.pop(agent, None)
        added = self._given[agent] = await self.briefing.for_text(text)
        agent.system_prompt = _blocks(agent.system_prompt_content, before, added) or None


def _first_text(messages: list[Any]) -> str:
    first = next((message for message in messages if message["role"] == "user"), None)
    return "\n".join(block["text"] for block in first["content"] if "text" in block).strip() if first else ""


def _blocks(blocks: list[Any] | None, before: Added | None, now: Added) -> list[Any]:
    """The system prompt without the context of an earlier conversation, and with the present one."""
    old = before.context.text if before else ""
    kept = [block for block in blocks or () if not old or block.get("text") != old]
    return [*kept, {"text": now.context.text}] if now.context.text else kept
