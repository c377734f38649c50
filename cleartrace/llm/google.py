"""Gemini, through the SDK `google-genai`."""

from __future__ import annotations

import json
from typing import Any

import httpx
from google import genai
from google.genai import errors, types

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
    sendable,
    with_schema_in_prompt,
)
from cleartrace.llm.protocol import (
    Finish,
    LLMError,
    Malformed,
    Message,
    RateLimited,
    Refused,
    Reply,
    Request,
    Thinking,
    TimedOut,
    ToolCall,
    Unreachable,
)
from cleartrace.llm.text import utf8_safe

_BUDGET = {Thinking.NONE: 0, Thinking.LOW: 2048, Thinking.MEDIUM: 8192, Thinking.HIGH: 24576}
_FILTERS = frozenset(
    ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT")
    + ("MODEL_ARMOR",)
)

_Clients = tuple[genai.Client, httpx.AsyncClient]


class GeminiContent(Endpoint[_Clients]):
    """POST `models/MODEL:generateContent`. Signatures of thoughts go back with their parts."""

    def _open(self) -> _Clients:
        # A client of our own: the SDK passes transport errors through, and they must be of one known family.
        given = self.options
        http = httpx.AsyncClient(timeout=given.timeout_s, follow_redirects=True, trust_env=given.trust_env)
        where = types.HttpOptions(base_url=given.base_url, httpx_async_client=http)
        return genai.Client(api_key=given.key, vertexai=False, http_options=where), http

    async def _close(self, client: _Clients) -> None:
        await client[0].aio.aclose()
        await client[1].aclose()

    async def _ask(self, client: _Clients, request: Request) -> Reply:
        contents, config = request_body(request, self.options, self.max_tokens(request))
        try:
            answer = await client[0].aio.models.generate_content(
                model=self.options.model, contents=contents, config=config
            )
        except errors.APIError as error:
            raise _status_error(error) from None
        except httpx.TimeoutException as error:
            raise TimedOut(f"{self.model}: {error!r}") from None
        except httpx.TransportError as error:
            raise Unreachable(f"{self.model}: {error!r}") from None
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            # What the SDK raises over a body that is not what it reads: its own errors and pydantic's are ValueErrors.
            raise Malformed(f"{self.model}: {error!r}"[:400]) from None
        return read_answer(answer, len(request.messages))


def request_body(
    request: Request, options: Options, max_tokens: int | None
) -> tuple[list[types.Content], types.GenerateContentConfig]:
    """(contents, settings)."""
    native_schema = request.schema_ if options.schema_mode is SchemaMode.NATIVE else None
    if request.schema_ is not None and native_schema is None:
        request = with_schema_in_prompt(request)
    declared = [
        types.FunctionDeclaration(name=tool.name, description=tool.description, parameters_json_schema=tool.parameters)
        for tool in request.tools
    ]
    system = "\n\n".join(message.content for message in request.messages if message.role == "system")
    config = types.GenerateContentConfig(
        system_instruction=utf8_safe(system) or None,
        tools=[types.Tool(function_declarations=declared)] if declared else None,
        temperature=request.temperature,
        max_output_tokens=max_tokens,
        seed=request.seed,
        thinking_config=_thinking(request.thinking, options.thinking_mode),
        response_mime_type="application/json" if native_schema else None,
        response_json_schema=native_schema,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        http_options=types.HttpOptions(extra_body=dict(options.extra)) if options.extra else None,
    )
    return _history(request.messages), config


def _thinking(thinking: Thinking, mode: ThinkingMode) -> types.ThinkingConfig | None:
    if thinking is Thinking.DEFAULT:
        return None
    if mode is ThinkingMode.BUDGET or thinking is Thinking.NONE:
        budget = _BUDGET[thinking]
        return types.ThinkingConfig(thinking_budget=budget, include_thoughts=budget > 0)
    return types.ThinkingConfig(thinking_level=types.ThinkingLevel(thinking.value.upper()), include_thoughts=True)


def _history(messages: tuple[Message, ...]) -> list[types.Content]:
    """Neighbours of one side become one content: results of parallel calls belong together, in order."""
    names = {call.id: call.name for message in messages for call in message.calls}
    turns: list[types.Content] = []
    for message in messages:
        if message.role == "system":
            continue
        content = _content(message, names)
        if turns and turns[-1].role == content.role:
            turns[-1] = types.Content(role=content.role, parts=[*(turns[-1].parts or []), *(content.parts or [])])
        elif content.parts:
            turns.append(content)
    return turns


def _content(message: Message, names: dict[str, str]) -> types.Content:
    if message.role == "tool":
        said = {"error" if message.is_error else "output": utf8_safe(message.content)}
        given = None if message.call_id.startswith(_OWN_ID) else message.call_id
        answer = types.FunctionResponse(id=given, name=names.get(message.call_id, ""), response=said)
        return types.Content(role="user", parts=[types.Part(function_response=answer)])
    if native := native_of(message, "google"):
        return types.Content.model_validate_json(json.dumps(native))
    parts = [types.Part(text=utf8_safe(message.content))] if message.content else []
    for call in message.calls:
        said = utf8_safe(sendable(call.arguments, call.raw))
        parts.append(types.Part(function_call=types.FunctionCall(name=call.name, args=said)))
    return types.Content(role="model" if message.role == "assistant" else "user", parts=parts)


_OWN_ID = "cleartrace_call_"
"""Of calls that the endpoint gave no id."""


def read_answer(answer: types.GenerateContentResponse, turn: int) -> Reply:
    """Raises `Malformed` for an answer that says nothing, `Refused` where a filter stopped it or its prompt."""
    usage = _usage(answer.usage_metadata)
    blocked = answer.prompt_feedback.block_reason if answer.prompt_feedback else None
    candidate = answer.candidates[0] if answer.candidates else None
    reason = candidate.finish_reason.value if candidate and candidate.finish_reason else ""
    if blocked or reason in _FILTERS:
        raise charged(Refused(f"a content filter stopped the answer: {blocked.value if blocked else reason}"), usage)
    parts = (candidate.content.parts if candidate and candidate.content else None) or []
    text = "".join(part.text or "" for part in parts if not part.thought)
    thought = "".join(part.text or "" for part in parts if part.thought)
    calls = tuple(_read_call(part.function_call, f"{turn}_{i}") for i, part in enumerate(parts) if part.function_call)
    finish = Finish.LENGTH if reason == "MAX_TOKENS" else Finish.CALLS if calls else Finish.STOP
    if finish is Finish.STOP and not text.strip():
        raise charged(Malformed(f"an empty answer: neither text nor a call ({reason or 'no candidate'})"), usage)
    native = types.Content(role="model", parts=parts).model_dump(mode="json", exclude_none=True, by_alias=True)
    message = Message(
        role="assistant",
        content=utf8_safe(text),
        thought=utf8_safe(thought),
        calls=calls,
        native={"google": utf8_safe(native)} if parts else None,
    )
    return Reply(message=message, usage=usage, finish=finish, model=answer.model_version or "")


def _read_call(call: types.FunctionCall, place: str) -> ToolCall:
    arguments, raw = arguments_of(call.args or {})
    return ToolCall(id=call.id or f"{_OWN_ID}{place}", name=utf8_safe(call.name or ""), arguments=arguments, raw=raw)


def _usage(usage: types.GenerateContentResponseUsageMetadata | None) -> Usage:
    """Thoughts are output tokens as well."""
    if usage is None:
        return Usage(calls=1)
    return Usage(
        calls=1,
        input_tokens=(usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
        cached_tokens=usage.cached_content_token_count or 0,
        output_tokens=(usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
    )


def _status_error(error: errors.APIError) -> LLMError:
    headers = getattr(error.response, "headers", None) or {}
    typed = error_of(error.code if isinstance(error.code, int) else 0, str(error.details), "", headers)
    if isinstance(typed, RateLimited) and typed.wait_s is None:
        typed.wait_s = _retry_info(error.details)
    return typed


def _retry_info(details: Any) -> float | None:
    """Seconds that the body of a 429 asks for, in Google's own form."""
    inner = details.get("error") if isinstance(details, dict) else None
    for row in (inner.get("details") if isinstance(inner, dict) else None) or []:
        delay = row.get("retryDelay") if isinstance(row, dict) else None
        if isinstance(delay, str) and delay.endswith("s") and delay[:-1].replace(".", "", 1).isdigit():
            return float(delay[:-1])
    return None
