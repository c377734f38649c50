"""Any endpoint that speaks OpenAI's chat completions, through the SDK `openai`."""

from __future__ import annotations

import json
from typing import Any

import openai

from cleartrace.episodes.types import Usage
from cleartrace.llm.endpoint import (
    Endpoint,
    Options,
    SchemaMode,
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

_FINISH = {"length": Finish.LENGTH, "tool_calls": Finish.CALLS, "function_call": Finish.CALLS}
_BROKEN = frozenset({"abort", "aborted", "error"})


class OpenAIChat(Endpoint[openai.AsyncOpenAI]):
    """POST `{base_url}/chat/completions`. Calls of one turn stay in order; no tool choice is ever forced."""

    def _open(self) -> openai.AsyncOpenAI:
        given = self.options
        http = openai.DefaultAsyncHttpxClient(timeout=given.timeout_s, trust_env=given.trust_env)
        return openai.AsyncOpenAI(
            api_key=given.key, base_url=given.base_url, timeout=given.timeout_s, max_retries=0, http_client=http
        )

    async def _close(self, client: openai.AsyncOpenAI) -> None:
        await client.close()

    async def _ask(self, client: openai.AsyncOpenAI, request: Request) -> Reply:
        fields = request_body(request, self.options, self.max_tokens(request))
        body = self.body(fields)
        create = client.chat.completions.with_raw_response.create
        try:
            answer = await create(model=body.pop("model"), messages=body.pop("messages"), extra_body=body)
        except openai.APITimeoutError as error:
            raise TimedOut(f"{self.model}: {error.__cause__!r}") from None
        except openai.APIConnectionError as error:
            raise Unreachable(f"{self.model}: {error.__cause__!r}") from None
        except openai.APIStatusError as error:
            raise error_of(error.status_code, str(error.body), error.code or "", error.response.headers) from None
        except openai.OpenAIError as error:
            raise Malformed(f"{self.model}: {error!r}") from None
        return read_answer(parse_body(answer.http_response.content))


def request_body(request: Request, options: Options, max_tokens: int | None) -> dict[str, Any]:
    """The body of the request; None stands for a field that is left out."""
    if request.schema_ is not None and options.schema_mode is not SchemaMode.NATIVE:
        form = {"type": "json_object"} if options.schema_mode is SchemaMode.OBJECT else None
        request = with_schema_in_prompt(request)
    elif request.schema_ is not None:
        form = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.schema_, "strict": False},
        }
    else:
        form = None
    return {
        "model": options.model,
        "messages": [_message(message) for message in request.messages],
        "tools": [_tool(tool) for tool in request.tools] or None,
        "response_format": form,
        "temperature": request.temperature,
        options.limit_field: max_tokens,
        "seed": request.seed,
        "reasoning_effort": None if request.thinking is Thinking.DEFAULT else request.thinking.value,
    }


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.content}
    if message.role != "assistant":
        return {"role": message.role, "content": message.content}
    calls = [_call(call) for call in message.calls]
    if native := native_of(message, "openai"):
        # Some servers parse the arguments of earlier calls, and answer 400 to what a model once wrote wrongly.
        broken = any(call.arguments is None for call in message.calls)
        return {**native, "tool_calls": calls} if broken else native
    return {"role": "assistant", "content": message.content, **({"tool_calls": calls} if calls else {})}


def _call(call: ToolCall) -> dict[str, Any]:
    whole = call.raw if call.arguments is not None and call.raw.strip() else ""
    arguments = whole or json.dumps(sendable(call.arguments, call.raw), ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def read_answer(body: dict[str, Any]) -> Reply:
    """Raises `Malformed` for what is no chat completion or says nothing, `Refused` where a filter stopped it."""
    if isinstance(error := body.get("error"), dict) and not body.get("choices"):
        # Some gateways say 200 and put the status into the body.
        code = error.get("code")
        if isinstance(code, int):
            raise error_of(code, str(error.get("message")))
        raise Malformed(f"an error instead of an answer: {str(error)[:400]}")
    usage = _usage(body.get("usage"))
    try:
        choice = body["choices"][0]
        said = choice["message"]
        calls = tuple(_read_call(call, index) for index, call in enumerate(said.get("tool_calls") or ()))
        text, thought = _text(said)
        reason = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise charged(Malformed(f"not a chat completion: {str(body)[:400]}"), usage) from None
    if reason == "content_filter" or said.get("refusal"):
        raise charged(Refused(f"a content filter stopped the answer: {said.get('refusal') or reason}"), usage)
    if reason in _BROKEN:
        raise charged(Malformed(f"the endpoint broke the answer off: {reason}"), usage)
    finish = _FINISH.get(str(reason), Finish.STOP)
    if finish is not Finish.LENGTH:
        finish = Finish.CALLS if calls else Finish.STOP
        if not calls and not text.strip():
            raise charged(Malformed("an empty answer: neither text nor a call"), usage)
    native = {"openai": utf8_safe({name: value for name, value in said.items() if value is not None})}
    message = Message(role="assistant", content=text, thought=thought, calls=calls, native=native)
    return Reply(message=message, usage=usage, finish=finish, model=str(body.get("model") or ""))


def _text(said: dict[str, Any]) -> tuple[str, str]:
    """(text, thought). Some servers give a list of parts, or the thought under a name of their own."""
    content = said.get("content") or ""
    thought = said.get("reasoning_content") or said.get("reasoning") or ""
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if part.get("type") == "text")
    return utf8_safe(str(content)), utf8_safe(thought) if isinstance(thought, str) else ""


def _read_call(call: dict[str, Any], index: int) -> ToolCall:
    arguments, raw = arguments_of(call["function"].get("arguments"))
    name = utf8_safe(str(call["function"]["name"]))
    return ToolCall(id=str(call.get("id") or f"call_{index}"), name=name, arguments=arguments, raw=raw)


def _usage(usage: Any) -> Usage:
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    return Usage(
        calls=1,
        input_tokens=tokens(usage, "prompt_tokens"),
        cached_tokens=tokens(details, "cached_tokens"),
        output_tokens=tokens(usage, "completion_tokens"),
    )
