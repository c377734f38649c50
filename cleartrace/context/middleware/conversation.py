"""Where a conversation's task is, and where its context goes: pure functions on messages in OpenAI's shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

RULES = ("system", "developer")
_TEXTS = ("text", "input_text")


class Shape(str, Enum):
    """How an endpoint of OpenAI's dialect takes a conversation."""

    CHAT = "chat"
    """`messages` of /chat/completions."""
    RESPONSES = "responses"
    """`input` of /responses: a text, or items."""

    @property
    def field(self) -> str:
        return "messages" if self is Shape.CHAT else "input"


def shape_of(path: str) -> Shape | None:
    """What a POST to `path` carries; None for anything but a conversation.

    Example:
        >>> shape_of("/v1/chat/completions"), shape_of("/responses"), shape_of("/v1/embeddings")
        (<Shape.CHAT: 'chat'>, <Shape.RESPONSES: 'responses'>, None)
    """
    path = path.rstrip("/")
    if path.endswith("/chat/completions"):
        return Shape.CHAT
    return Shape.RESPONSES if path.endswith("/responses") else None


def task_text(body: Mapping[str, Any], shape: Shape) -> str | None:
    """The text of the first user message of a request; None where it opens or repeats no conversation.

    A request that continues one which the server keeps (`previous_response_id`, `conversation`) is a later turn.
    """
    if shape is Shape.RESPONSES and (body.get("previous_response_id") or body.get("conversation")):
        return None
    sent = body.get(shape.field)
    if isinstance(sent, str):
        return (sent.strip() or None) if shape is Shape.RESPONSES else None
    for message in sent if isinstance(sent, Sequence) else ():
        if isinstance(message, Mapping) and message.get("role") == "user":
            return _text(message.get("content")).strip() or None
    return None


def with_text(body: Mapping[str, Any], shape: Shape, text: str) -> dict[str, Any]:
    """A copy of a request with `text` behind its system prompt, or as one where there is none.

    A second system message would be refused by many chat templates, so an existing one is extended. Text that is there
    already is not said twice. What was given is not changed.

    Example:
        >>> body = {"messages": [{"role": "user", "content": "Pay the bill."}]}
        >>> with_text(body, Shape.CHAT, "Check the date.")["messages"][0]
        {'role': 'system', 'content': 'Check the date.'}
    """
    sent = body[shape.field]
    items = [{"role": "user", "content": sent}] if isinstance(sent, str) else list(sent)
    first = items[0] if items else None
    if isinstance(first, Mapping) and first.get("role") in RULES:
        items[0] = {**first, "content": _extended(first.get("content"), shape, text)}
    else:
        items.insert(0, {"role": "system", "content": text})
    return {**body, shape.field: items}


def _extended(content: Any, shape: Shape, text: str) -> Any:
    if text in _text(content):
        return content
    if isinstance(content, str) or content is None:
        return "\n\n".join(part for part in (content, text) if part)
    return [*content, {"type": "text" if shape is Shape.CHAT else "input_text", "text": text}]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else ()
    texts = [part.get("text") for part in parts if isinstance(part, Mapping) and part.get("type") in _TEXTS]
    return "\n".join(text for text in texts if isinstance(text, str))
