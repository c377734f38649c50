"""`cleartrace.llm.connect` against the served policy: its dialect, calls of tools, and its key."""

from __future__ import annotations

import asyncio

import pytest

from cleartrace.llm.connect import connect
from cleartrace.llm.ledger import Ledger
from cleartrace.llm.protocol import Finish, Message, Rejected, Reply, Request, Role, ToolSpec
from tests.verl.offline.conftest import TOKEN

pytest.importorskip("openai")
TOOL = ToolSpec(
    name="code_interpreter",
    description="Runs Python code.",
    parameters={"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
)
QUESTION = "Task: given 7 and 5, print their sum."


def ask(endpoint: str, requests: list[Request], **options) -> list[Reply]:
    async def run() -> list[Reply]:
        llm = connect(f"openai/tiny@{endpoint}/v1", retries=1, **options)
        try:
            return [await llm.complete(request) for request in requests]
        finally:
            await llm.close()

    return asyncio.run(run())


def request(*messages: Message, **fields) -> Request:
    return Request(role=Role.AGENT, messages=messages, tools=(TOOL,), temperature=0.0, **fields)


def test_a_call_of_the_policy_is_read_answered_and_sent_back(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVE_KEY", TOKEN)
    ledger = Ledger()
    user = Message(role="user", content=QUESTION)
    (first,) = ask(endpoint, [request(user, max_tokens=200)], key_env="SERVE_KEY", ledger=ledger)
    assert first.finish is Finish.CALLS and first.message.calls[0].name == "code_interpreter"
    assert first.message.calls[0].arguments and "code" in first.message.calls[0].arguments
    assert first.usage.input_tokens > 0 and ledger.total.tokens == first.usage.input_tokens + first.usage.output_tokens
    result = Message(role="tool", content="12", call_id=first.message.calls[0].id)
    (second,) = ask(endpoint, [request(user, first.message, result, max_tokens=100)], key_env="SERVE_KEY")
    assert second.text or second.message.calls
    assert second.usage.input_tokens > first.usage.input_tokens


def test_a_seed_repeats_the_answer_and_a_limit_is_seen(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVE_KEY", TOKEN)
    asked = Request(role=Role.AGENT, messages=(Message(role="user", content=QUESTION),), seed=3, max_tokens=4)
    one, two = ask(endpoint, [asked, asked], key_env="SERVE_KEY")
    assert one.text == two.text and one.finish is Finish.LENGTH and one.usage.output_tokens == 4


def test_without_its_token_the_server_rejects(endpoint: str) -> None:
    with pytest.raises(Rejected, match="HTTP 401"):
        ask(endpoint, [request(Message(role="user", content=QUESTION))])
