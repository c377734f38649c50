"""The plugin in a real Strands agent with a model that only listens. Skipped without the package."""

from __future__ import annotations

import asyncio
import json

import pytest

from cleartrace.context.middleware.briefing import Briefing
from cleartrace.context.providers import Model, Static
from cleartrace.llm.scripted import Scripted

pytest.importorskip("strands", reason="needs strands-agents: pip install 'cleartrace[strands]'")
from strands import Agent, tool  # noqa: E402
from strands.agent.conversation_manager import SlidingWindowConversationManager  # noqa: E402
from strands.models import Model as StrandsModel  # noqa: E402

from cleartrace.context.middleware.strands_plugin import ContextPlugin  # noqa: E402


class Listener(StrandsModel):
    """Calls the tool `look` once in each conversation, then answers; keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, list]] = []

    def update_config(self, **config): ...

    def get_config(self):
        return {}

    async def structured_output(self, output_model, prompt, system_prompt=None, **options):
        raise NotImplementedError
        yield

    async def stream(self, messages, tool_specs=None, system_prompt=None, **options):
        self.seen.append(
            (system_prompt, json.loads(json.dumps([{"role": m["role"], "content": m["content"]} for m in messages])))
        )
        yield {"messageStart": {"role": "assistant"}}
        if tool_specs and not any("toolResult" in block for message in messages for block in message["content"]):
            yield {"contentBlockStart": {"start": {"toolUse": {"toolUseId": "1", "name": "look"}}}}
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": "{}"}}}}
            yield {"contentBlockStop": {}}
            yield {"messageStop": {"stopReason": "tool_use"}}
        else:
            yield {"contentBlockDelta": {"delta": {"text": "Done."}}}
            yield {"contentBlockStop": {}}
            yield {"messageStop": {"stopReason": "end_turn"}}


@tool
def look() -> str:
    """Looks."""
    return "a table"


def agent(plugin: ContextPlugin, **options):
    model = Listener()
    return Agent(model=model, plugins=[plugin], callback_handler=None, **options), model


def writer() -> Model:
    return Model(Scripted(lambda request: f"Advice on {request.messages[-1].content.split()[-1]}"))


def test_the_context_stands_behind_the_system_prompt_in_every_turn_of_a_conversation():
    plugin = ContextPlugin(writer(), environment="office")
    acting, model = agent(plugin, system_prompt="Rules.", tools=[look])
    acting("Book tables")
    acting("Go on")
    assert [system for system, _ in model.seen] == ["Rules.\nAdvice on tables"] * 3
    assert model.seen[0][1] == [{"role": "user", "content": [{"text": "Book tables"}]}], "messages are not touched"
    (added,) = plugin.briefing.added
    assert added.task.environment == "office" and added.context.text == "Advice on tables"


def test_a_new_conversation_has_a_new_context_in_place_of_the_old_one():
    acting, model = agent(ContextPlugin(writer()))
    acting("Book tables")
    acting.messages.clear()
    acting("Book chairs")
    assert [system for system, _ in model.seen] == ["Advice on tables", "Advice on chairs"]


def test_what_a_conversation_manager_drops_changes_no_context():
    manager = SlidingWindowConversationManager(window_size=2)
    acting, model = agent(ContextPlugin(writer()), system_prompt="Rules.", conversation_manager=manager)
    for text in ("Book tables", "two", "three"):
        acting(text)
    assert model.seen[-1][1][0]["content"] != [{"text": "Book tables"}], "the first message was dropped"
    assert {system for system, _ in model.seen} == {"Rules.\nAdvice on tables"}


def test_a_conversation_that_was_restored_gets_the_context_it_had():
    messages = [
        {"role": "user", "content": [{"text": "Book tables"}]},
        {"role": "assistant", "content": [{"text": "Yes."}]},
    ]
    acting, model = agent(ContextPlugin(writer()), messages=messages)
    asyncio.run(acting.invoke_async("Go on"))
    assert model.seen[0][0] == "Advice on tables"


def test_abstaining_leaves_the_system_prompt_alone():
    plugin = ContextPlugin(Briefing(Static("")))
    acting, model = agent(plugin, system_prompt="Rules.")
    acting("Book tables")
    assert model.seen[0][0] == "Rules." and plugin.briefing.added[0].context.abstained
