"""One request, one reply, one set of errors for every model endpoint."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal, Protocol

from pydantic import Field

from cleartrace.episodes.types import Record, Usage


class Role(str, Enum):
    """What a call is for. Ledger and budget are kept per role."""

    AGENT = "agent"
    CONTEXT = "context"
    REFLECTOR = "reflector"
    MUTATOR = "mutator"
    STATE = "state"
    SUMMARY = "summary"
    JUDGE = "judge"
    USER = "user"


class Thinking(str, Enum):
    """How long a model may think, where it can be told."""

    DEFAULT = "default"
    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Finish(str, Enum):
    """Why a model stopped writing."""

    STOP = "stop"
    LENGTH = "length"
    CALLS = "calls"
    FILTERED = "filtered"


class ToolSpec(Record):
    """A function a model may call. `parameters`: a JSON schema of type object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})


class ToolCall(Record):
    """One call as a model wrote it. `arguments` is None when `raw` is not a JSON object."""

    id: str
    name: str
    arguments: dict[str, Any] | None
    raw: str = ""


class Message(Record):
    """One message. `native`: the endpoint's own form of an assistant's message, sent back unchanged in later requests,
    so that signatures of thoughts survive (R25). `call_id`: which call a `tool` message answers."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    thought: str = ""
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    is_error: bool = False
    native: Any = None


class Request(Record):
    """One call of a model. None leaves a setting to the endpoint.

    Args:
        schema_: JSON schema that the reply's text must follow, in the endpoint's own structured mode where it has one.
    """

    role: Role
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    schema_: dict[str, Any] | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    thinking: Thinking = Thinking.DEFAULT


class Reply(Record):
    """`message` has role `assistant`. `cached`: no endpoint was asked, and `usage` is what it cost the first time."""

    message: Message
    usage: Usage = Usage()
    finish: Finish = Finish.STOP
    model: str = ""
    cached: bool = False

    @property
    def text(self) -> str:
        return self.message.content


class LLM(Protocol):
    """An endpoint, or anything that stands before one: retries, a cache, a ledger, a recording."""

    @property
    def model(self) -> str:
        """`provider/model`, and whatever else changes its replies."""
        ...

    async def complete(self, request: Request) -> Reply:
        """Raises `LLMError`."""
        ...

    async def close(self) -> None: ...


class LLMError(Exception):
    """A call that has no reply.

    Args:
        retry: whether the same call may succeed later.
        usage: what the endpoint says it charged all the same.
    """

    retry = False
    usage = Usage()


class Unreachable(LLMError):
    """No connection, or it broke."""

    retry = True


class TimedOut(LLMError):
    """No whole answer in time, or 408."""

    retry = True


class RateLimited(LLMError):
    """429. `wait_s`: what the endpoint asked for."""

    retry = True

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class ServerError(LLMError):
    """500 to 599, 529 included; 409 and 425, by which an endpoint says to come again."""

    retry = True


class Malformed(LLMError):
    """An answer that is not what the endpoint's protocol says, or an empty one."""

    retry = True


class Rejected(LLMError):
    """The request is wrong: any other 400 to 499, and a quota that is used up."""


class Refused(LLMError):
    """A content filter stopped the request or its answer."""


class BudgetExhausted(LLMError):
    """A limit of the run was reached. `limit`: which one, with its figure."""

    def __init__(self, limit: str) -> None:
        super().__init__(f"the budget is used up: {limit}")
        self.limit = limit
