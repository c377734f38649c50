"""Agents' model endpoints on loopback, in OpenAI's shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.loopback import Answer, Asked, Loopback

CHUNKS = b"".join(
    f'data: {{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    f'[{{"index":0,"delta":{{"content":"{word}"}},"finish_reason":null}}]}}\n\n'.encode()
    for word in ("Pa", "id")
)
STREAM = CHUNKS + b"data: [DONE]\n\n"


def reply(asked: Asked) -> Answer:
    """Says `done`, as a stream where it is asked for one."""
    body: dict[str, Any] = asked.body or {}
    path = asked.path.partition("?")[0]
    if body.get("stream"):
        return Answer(STREAM, headers={"content-type": "text/event-stream"})
    if path.endswith("/responses"):
        content = [{"type": "output_text", "text": "done", "annotations": []}]
        message = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": content}
        return Answer(
            {
                "id": "r1",
                "object": "response",
                "created_at": 1,
                "model": "m",
                "output": [message],
                "parallel_tool_calls": True,
                "tool_choice": "auto",
                "tools": [],
                "status": "completed",
            }
        )
    if path.endswith("/models"):
        return Answer({"object": "list", "data": [{"id": "m", "object": "model"}]})
    choice = {"index": 0, "message": {"role": "assistant", "content": "done"}, "finish_reason": "stop"}
    return Answer({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})


@pytest.fixture
def endpoint() -> Iterator[Loopback]:
    with Loopback(reply) as loopback:
        yield loopback
