"""What the back ends share: their settings, one time limit per call, and errors by type and status, never by text."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum
from time import time
from typing import Any, Generic, TypeVar

from cleartrace.episodes.types import Usage
from cleartrace.llm.protocol import (
    LLMError,
    Malformed,
    Message,
    RateLimited,
    Refused,
    Rejected,
    Reply,
    Request,
    ServerError,
    TimedOut,
)
from cleartrace.llm.text import utf8_safe
from cleartrace.serving import is_loopback_url

T = TypeVar("T")
DEFAULT_URLS = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "google": "https://generativelanguage.googleapis.com",
}
_REFUSAL_CODES = frozenset({"content_filter", "content_policy_violation"})
_SPENT_CODES = frozenset({"insufficient_quota"})
_SHOWN = 400


class SchemaMode(str, Enum):
    """How `Request.schema_` reaches a model."""

    NATIVE = "native"
    """The endpoint's own structured mode."""
    OBJECT = "object"
    """The endpoint promises JSON, and the prompt holds the schema. OpenAI's dialect only."""
    PROMPT = "prompt"
    """The prompt holds the schema, and nothing is promised."""


class ThinkingMode(str, Enum):
    """How `Request.thinking` is said to Anthropic and Gemini: newer models take a level, older ones a budget."""

    LEVEL = "level"
    BUDGET = "budget"


@dataclass(frozen=True)
class Options:
    """Of one endpoint.

    Args:
        provider: `openai`, `anthropic` or `google`: the dialect.
        model: as the endpoint calls it.
        timeout_s: for one whole answer.
        max_tokens: for requests that set none.
        limit_field: what OpenAI's dialect calls the limit of tokens here.
        extra: fields of the request's body, over ours; None takes a field out.
    """

    provider: str
    model: str
    base_url: str
    key: str = field(repr=False)
    timeout_s: float = 120.0
    max_tokens: int | None = None
    schema_mode: SchemaMode = SchemaMode.NATIVE
    thinking_mode: ThinkingMode = ThinkingMode.LEVEL
    limit_field: str = "max_tokens"
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def trust_env(self) -> bool:
        """Whether a proxy that the environment names may be asked: not for an address of this machine."""
        return not is_loopback_url(self.base_url)

    @property
    def name(self) -> str:
        """`provider/model`, the address where it is not the provider's own, and each setting that changes replies."""
        place = "" if self.base_url == DEFAULT_URLS[self.provider] else f"@{self.base_url}"
        settings = {
            "max_tokens": self.max_tokens,
            "schema_mode": self.schema_mode.value if self.schema_mode is not SchemaMode.NATIVE else None,
            "thinking_mode": self.thinking_mode.value if self.thinking_mode is not ThinkingMode.LEVEL else None,
            "extra": dict(self.extra) or None,
        }
        differing = {name: value for name, value in settings.items() if value is not None}
        said = f" {json.dumps(differing, sort_keys=True)}" if differing else ""
        return f"{self.provider}/{self.model}{place}{said}"


class PerLoop(Generic[T]):
    """One `T` for each event loop: a pool of connections must not outlive the loop that opened them."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[asyncio.AbstractEventLoop, T] = {}

    def get(self) -> T:
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            self._made = {other: made for other, made in self._made.items() if not other.is_closed()}
            self._made[loop] = self._make()
        return self._made[loop]

    def pop(self) -> T | None:
        """Of the running loop, and forget it."""
        return self._made.pop(asyncio.get_running_loop(), None)


class Endpoint(ABC, Generic[T]):
    """A model behind HTTP. A subclass speaks one dialect through its client `T` and raises `LLMError` alone."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._clients = PerLoop(self._open)

    @property
    def model(self) -> str:
        return self.options.name

    async def complete(self, request: Request) -> Reply:
        """One HTTP request. Raises `LLMError`."""
        client = self._clients.get()  # to make one takes a while, which no call should pay with its time
        try:
            return await asyncio.wait_for(self._ask(client, request), self.options.timeout_s)
        except asyncio.TimeoutError:
            raise TimedOut(f"{self.model} gave no whole answer in {self.options.timeout_s:g} s") from None

    async def close(self) -> None:
        if client := self._clients.pop():
            await self._close(client)

    @abstractmethod
    def _open(self) -> T: ...

    @abstractmethod
    async def _close(self, client: T) -> None: ...

    @abstractmethod
    async def _ask(self, client: T, request: Request) -> Reply: ...

    def body(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The request's body: `extra` applied, fields without a value left out, text that UTF-8 can hold."""
        return utf8_safe({name: value for name, value in {**fields, **self.options.extra}.items() if value is not None})

    def max_tokens(self, request: Request) -> int | None:
        return request.max_tokens if request.max_tokens is not None else self.options.max_tokens


def parse_body(content: bytes) -> dict[str, Any]:
    """The JSON object of an answer. Raises `Malformed`."""
    try:
        value = json.loads(content.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise Malformed(f"the answer is not JSON: {content[:_SHOWN]!r}") from None
    if not isinstance(value, dict):
        raise Malformed(f"the answer is not a JSON object: {content[:_SHOWN]!r}")
    return value


def error_of(status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None) -> LLMError:
    """The error that an HTTP status means. `code`: the field of that name in the body, which some statuses need."""
    said = f"HTTP {status}: {message[:_SHOWN]}"
    if code in _REFUSAL_CODES:
        return Refused(said)
    if status == 429 and code not in _SPENT_CODES:
        return RateLimited(said, retry_after(headers or {}))
    if status == 408:
        return TimedOut(said)
    if status in (409, 425) or 500 <= status < 600:
        return ServerError(said)
    return Rejected(said) if 400 <= status < 500 else Malformed(said)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` (a number or a date) or `retry-after-ms` asks for."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        if not (value := headers.get("retry-after")):
            return None
        try:
            return max(0.0, float(value))
        except ValueError:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except (ValueError, TypeError, OverflowError):
        return None


def tokens(usage: Any, name: str) -> int:
    """A count of an endpoint's usage; 0 where it says none."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


def charged(error: LLMError, usage: Usage) -> LLMError:
    """The error, with what the endpoint charged for the answer that it stands for."""
    error.usage = usage
    return error


def arguments_of(raw: Any) -> tuple[dict[str, Any] | None, str]:
    """(arguments, what the model wrote). None where that is not a JSON object; nothing at all counts as `{}`."""
    if isinstance(raw, dict):
        return utf8_safe(raw), json.dumps(utf8_safe(raw), ensure_ascii=False)
    text = utf8_safe(raw) if isinstance(raw, str) else json.dumps(raw)
    if not text.strip() or raw is None:
        return {}, text if raw is not None else ""
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None, text
    return (utf8_safe(value), text) if isinstance(value, dict) else (None, text)


def sendable(arguments: dict[str, Any] | None, raw: str) -> dict[str, Any]:
    """Arguments of an earlier call as an object. Endpoints refuse a history with anything else in it."""
    return arguments if arguments is not None else {"malformed": raw}


def native_of(message: Message, dialect: str) -> Any:
    """The message as this dialect gave it, or None where another one did, or nobody."""
    return message.native.get(dialect) if isinstance(message.native, dict) else None


def with_schema_in_prompt(request: Request) -> Request:
    """The schema said at the end of the last message of the user."""
    note = f"Answer with one JSON value that fits this JSON schema:\n{json.dumps(request.schema_, ensure_ascii=False)}"
    messages = list(request.messages)
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].role == "user":
            said = f"{messages[index].content}\n\n{note}"
            messages[index] = messages[index].model_copy(update={"content": said})
            break
    else:
        messages.append(Message(role="user", content=note))
    return request.model_copy(update={"messages": tuple(messages), "schema_": None})
