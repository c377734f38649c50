"""Anthropic's messages, through the SDK `anthropic`."""

from __future__ import annotations

from typing import Any

import anthropic

from cleartrace.episodes.types import Usage
from cleartrace.llm.endpoint import (
    Endpoint,
    Options,
    SchemaMode,
    ThinkingMode,
    arguments_of,
    charged,
    error_of,
    native_of,
    parse_body,
    sendable,
    tokens,
    with_schema_in_prompt,
)
from cleartrace.llm.protocol import (
    Finish,
    Malformed,
    Message,
    Refused,
    Reply,
    Request,
    Thinking,
    TimedOut,
    ToolCall,
    ToolSpec,
    Unreachable,
)
from cleartrace.llm.text import utf8_safe

DEFAULT_MAX_TOKENS = 8192
"""This dialect wants a limit in every request."""
_FINISH = {"max_tokens": Finish.LENGTH, "model_context_window_exceeded": Finish.LENGTH, "tool_use": Finish.CALLS}
_BUDGET = {Thinking.LOW: 2048, Thinking.MEDIUM: 8192, Thinking.HIGH: 24576}


class AnthropicMessages(Endpoint[anthropic.AsyncAnthropic]):
    """POST `{base_url}/v1/messages`. Blocks of thought go back as they came, with their signatures (R25)."""

    def _open(self) -> anthropic.AsyncAnthropic:
        given = self.options
        http = anthropic.DefaultAsyncHttpxClient(timeout=given.timeout_s, trust_env=given.trust_env)
        return anthropic.AsyncAnthropic(
            api_key=given.key, base_url=given.base_url, timeout=given.timeout_s, max_retries=0, http_client=http
        )

    async def _close(self, client: anthropic.AsyncAnthropic) -> None:
        await client.close()

    async def _ask(self, client: anthropic.AsyncAnthropic, request: Request) -> Reply:
        body = self.body(request_body(request, self.options, self.max_tokens(request) or DEFAULT_MAX_TOKENS))
        first = {name: body.pop(name) for name in ("model", "messages", "max_tokens")}
        create = client.messages.with_raw_response.create
        try:
            # The limit of time is named again, because without it the SDK refuses long answers that do not stream.
            answer = await create(**first, timeout=self.options.timeout_s, extra_body=body)
        except anthropic.APITimeoutError as error:
            raise TimedOut(f"{self.model}: {error.__cause__!r}") from None
        except anthropic.APIConnectionError as error:
            raise Unreachable(f"{self.model}: {error.__cause__!r}") from None
        except anthropic.APIStatusError as error:
            raise error_of(error.status_code, str(error.body), "", error.response.headers) from None
        except anthropic.AnthropicError as error:
            raise Malformed(f"{self.model}: {error!r}") from None
        return read_answer(parse_body(answer.http_response.content))


def request_body(request: Request, options: Options, max_tokens: int) -> dict[str, Any]:
    """The body of the request; None stands for a field that is left out. This dialect has no seed."""
    form = None
    if request.schema_ is not None:
        form = _format(request.schema_) if options.schema_mode is SchemaMode.NATIVE else None
        request = request if form else with_schema_in_prompt(request)
    thinking, effort, max_tokens = _thinking(request.thinking, options.thinking_mode, max_tokens)
    system, messages = _history(request.messages)
    return {
        "model": options.model,
        "max_tokens": max_tokens,
        "system": system or None,
        "messages": messages,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "temperature": request.temperature,
        "thinking": thinking,
        "output_config": {**({"format": form} if form else {}), **({"effort": effort} if effort else {})} or None,
    }


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}


def _thinking(thinking: Thinking, mode: ThinkingMode, max_tokens: int) -> tuple[dict[str, Any] | None, str | None, int]:
    """(field `thinking`, effort, limit of tokens). A budget of thought comes on top of the limit of the answer."""
    if thinking is Thinking.DEFAULT:
        return None, None, max_tokens
    if thinking is Thinking.NONE:
        return {"type": "disabled"}, None, max_tokens
    if mode is ThinkingMode.LEVEL:
        return {"type": "adaptive"}, thinking.value, max_tokens
    budget = _BUDGET[thinking]
    return {"type": "enabled", "budget_tokens": budget}, None, max_tokens + budget


def _format(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The structured mode, which wants every object closed; None for a schema that cannot be said so."""
    if _has_open_object(schema):
        return None
    try:
        return {"type": "json_schema", "schema": anthropic.transform_schema(schema)}
    except ValueError:
        return None


def _has_open_object(schema: Any) -> bool:
    """Whether some object of the schema has fields of any name."""
    if isinstance(schema, list):
        return any(map(_has_open_object, schema))
    if not isinstance(schema, dict):
        return False
    return (schema.get("type") == "object" and not schema.get("properties")) or any(
        map(_has_open_object, schema.values())
    )


def _history(messages: tuple[Message, ...]) -> tuple[str, list[dict[str, Any]]]:
    """(system text, messages). Neighbours of one side become one message, results of calls first."""
    system = [message.content for message in messages if message.role == "system"]
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        side, blocks = ("assistant" if message.role == "assistant" else "user"), _blocks(message)
        if turns and turns[-1]["role"] == side:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": side, "content": blocks})
    return "\n\n".join(text for text in system if text), turns


def _blocks(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        result = {"type": "tool_result", "tool_use_id": message.call_id, "content": message.content}
        return [{**result, "is_error": True} if message.is_error else result]
    if native := native_of(message, "anthropic"):
        return list(native)
    # Empty blocks of text are refused.
    text = [{"type": "text", "text": message.content}] if message.content.strip() else []
    return text + [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": sendable(call.arguments, call.raw)}
        for call in message.calls
    ]


def read_answer(body: dict[str, Any]) -> Reply:
    """Raises `Malformed` for what is no message or says nothing, `Refused` where the model or a filter declines."""
    usage = _usage(body.get("usage"))
    try:
        blocks = [dict(block) for block in body["content"]]
        text = "".join(block["text"] for block in blocks if block["type"] == "text")
        thought = "".join(str(block.get("thinking") or "") for block in blocks if block["type"] == "thinking")
        calls = tuple(_read_call(block) for block in blocks if block["type"] == "tool_use")
    except (KeyError, TypeError, ValueError):
        raise charged(Malformed(f"not a message: {str(body)[:400]}"), usage) from None
    reason = body.get("stop_reason")
    if reason == "refusal":
        raise charged(Refused(f"the model declined: {body.get('stop_details') or reason}"), usage)
    finish = _FINISH.get(str(reason), Finish.STOP)
    if finish is not Finish.LENGTH:
        finish = Finish.CALLS if calls else Finish.STOP
        if not calls and not text.strip():
            raise charged(Malformed("an empty answer: neither text nor a call"), usage)
    message = Message(
        role="assistant",
        content=utf8_safe(text),
        thought=utf8_safe(thought),
        calls=calls,
        native={"anthropic": utf8_safe(blocks)} if blocks else None,
    )
    return Reply(message=message, usage=usage, finish=finish, model=str(body.get("model") or ""))


def _read_call(block: dict[str, Any]) -> ToolCall:
    arguments, raw = arguments_of(block["input"])
    return ToolCall(id=str(block["id"]), name=utf8_safe(str(block["name"])), arguments=arguments, raw=raw)


def _usage(usage: Any) -> Usage:
    """Tokens that were read from a cache or written to one are input tokens as well."""
    cached = tokens(usage, "cache_read_input_tokens")
    return Usage(
        calls=1,
        input_tokens=tokens(usage, "input_tokens") + cached + tokens(usage, "cache_creation_input_tokens"),
        cached_tokens=cached,
        output_tokens=tokens(usage, "output_tokens"),
    )
