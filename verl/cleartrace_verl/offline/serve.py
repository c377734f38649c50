"""An OpenAI-compatible server over the embedded engine, for one model on one device. It does not stream."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from rich.console import Console
from transformers import AutoTokenizer
from verl.experimental.agent_loop.tool_parser import FunctionCall

from cleartrace.evaluate.names import SERVE_TOKEN_VARIABLE
from cleartrace.evaluate.settings import ServeSettings
from cleartrace.serving import Guarded, check_binding, listen, run
from cleartrace_verl.engine import (
    AsyncEngine,
    EngineConfig,
    EngineError,
    Finish,
    Generation,
    InvalidRequest,
    Sampling,
    load_engine,
)
from cleartrace_verl.offline.protocol import ChatRequest, CompletionRequest, envelope, failure
from cleartrace_verl.tool_parsers import call_parser

_FINISH = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.ABORTED: "abort"}


@dataclass(frozen=True)
class Served:
    """What the handlers share."""

    engine: AsyncEngine
    tokenizer: Any
    name: str
    tool_format: str = "hermes"


def build_app(served: Served, token: str | None = None) -> FastAPI:
    """`/health`, `/v1/models`, `/v1/completions`, `/v1/chat/completions`; with `token`, all but /health want it."""
    app = FastAPI(title="cleartrace", docs_url=None, redoc_url=None, openapi_url=None)

    if token:
        app.add_middleware(Guarded, token=token, open_paths=("/health",))

    @app.exception_handler(InvalidRequest)
    @app.exception_handler(RequestValidationError)
    async def refuse(request: Request, error: Exception) -> JSONResponse:
        del request
        return JSONResponse(failure(str(error), 400), 400)

    @app.exception_handler(EngineError)
    async def fail(request: Request, error: Exception) -> JSONResponse:
        del request
        return JSONResponse(failure(str(error), 500), 500)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": served.name, "object": "model", "owned_by": "cleartrace"}]}

    @app.post("/v1/completions")
    async def completions(body: CompletionRequest) -> dict[str, Any]:
        return await complete(served, body)

    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest) -> dict[str, Any]:
        return await converse(served, body)

    return app


def _sampling(served: Served, body: CompletionRequest | ChatRequest, max_tokens: int | None) -> Sampling:
    if unserved := body.unserved():
        raise InvalidRequest(f"not served here: {unserved}")
    if body.model not in (None, served.name):
        raise InvalidRequest(f"the model {body.model!r} is not served here; this is {served.name!r}")
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=-1 if body.top_k is None else body.top_k,
        max_tokens=max_tokens,
        stop_token_ids=tuple(body.stop_token_ids),
        ignore_eos=body.ignore_eos,
        seed=body.seed,
    )


async def _generate(served: Served, prompt: Sequence[int], sampling: Sampling, n: int) -> list[Generation]:
    def one(index: int) -> Any:
        # n samples of one seed would be one sample n times.
        seed = None if sampling.seed is None else sampling.seed + index
        return served.engine.generate(prompt, replace(sampling, seed=seed), uuid.uuid4().hex)

    return list(await asyncio.gather(*(one(index) for index in range(n))))


async def complete(served: Served, body: CompletionRequest) -> dict[str, Any]:
    """Answer /v1/completions. Raises InvalidRequest for what is not served."""
    sampling = _sampling(served, body, body.max_tokens)
    prompts = [served.tokenizer.encode(p) if isinstance(p, str) else p for p in body.prompts()]
    if not prompts or not all(prompts):
        raise InvalidRequest("the prompt is empty")
    groups = await asyncio.gather(*(_generate(served, prompt, sampling, body.n) for prompt in prompts))
    choices = []
    for prompt, group in zip(prompts, groups, strict=True):
        echoed = await _echo(served, prompt, body) if body.echo else []
        choices += [_choice(served, body, prompt, done, echoed) for done in group]
    for index, choice in enumerate(choices):
        choice["index"] = index
    tokens = sum(len(done.token_ids) for group in groups for done in group)
    return envelope("text_completion", served.name, choices, sum(map(len, prompts)), tokens)


async def _echo(served: Served, prompt: Sequence[int], body: CompletionRequest) -> list[float | None]:
    """Log-probs of the prompt's tokens; the first has none."""
    if body.logprobs is None:
        return [None] * len(prompt)
    return [None, *await served.engine.score(prompt[:1], prompt[1:], body.temperature or 1.0)]


def _choice(
    served: Served, body: CompletionRequest, prompt: Sequence[int], done: Generation, echoed: Sequence[float | None]
) -> dict[str, Any]:
    ids = [*(prompt if body.echo else ()), *done.token_ids]
    values = [*echoed, *done.log_probs]
    stopped = done.finish is Finish.STOP
    shown = ids[:-1] if stopped else ids  # like other servers, the end token is in the ids and not in the text
    choice: dict[str, Any] = {
        "index": 0,
        "text": served.tokenizer.decode(shown, skip_special_tokens=body.skip_special_tokens),
        "finish_reason": _FINISH[done.finish],
        "logprobs": _logprobs(served, body, ids, values) if body.logprobs is not None else None,
    }
    if body.return_token_ids:
        choice |= {"token_ids": list(done.token_ids), "prompt_token_ids": list(prompt)}
    return choice


def _logprobs(
    served: Served, body: CompletionRequest, ids: Sequence[int], values: Sequence[float | None]
) -> dict[str, Any]:
    as_ids = body.return_tokens_as_token_ids
    tokens = [f"token_id:{token}" if as_ids else served.tokenizer.decode([token]) for token in ids]
    return {"tokens": tokens, "token_logprobs": list(values), "top_logprobs": None, "text_offset": []}


async def converse(served: Served, body: ChatRequest) -> dict[str, Any]:
    """Answer /v1/chat/completions; calls of the model are read by veRL's parser of the served format."""
    limit = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    sampling = _sampling(served, body, limit)
    try:
        prompt = served.tokenizer.apply_chat_template(
            body.messages, tools=body.tools, add_generation_prompt=True, tokenize=True, return_dict=False
        )
    except Exception as error:  # a template is a program of the model's; it raises what it likes
        raise InvalidRequest(f"the chat template cannot render these messages: {error}") from error
    group = await _generate(served, prompt, sampling, body.n)
    choices = [await _message(served, body, index, done) for index, done in enumerate(group)]
    tokens = sum(len(done.token_ids) for done in group)
    return envelope("chat.completion", served.name, choices, len(prompt), tokens)


async def _message(served: Served, body: ChatRequest, index: int, done: Generation) -> dict[str, Any]:
    ids = list(done.token_ids)
    text, calls = served.tokenizer.decode(ids, skip_special_tokens=body.skip_special_tokens), []
    if body.tools:
        parser = call_parser(served.tokenizer, served.tool_format)
        content, found = await parser.extract_tool_calls(ids)
        if found:
            text, calls = content.strip(), [_call(call) for call in found]
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = calls
    reason = "tool_calls" if calls and done.finish is Finish.STOP else _FINISH[done.finish]
    return {"index": index, "message": message, "finish_reason": reason, "logprobs": None}


def _call(call: FunctionCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{uuid.uuid4().hex[:12]}", "type": "function", "function": function}


def load(settings: ServeSettings) -> Served:
    """Load model and tokenizer. Raises EngineError or UnsupportedModel, OSError without tokenizer files."""
    config = EngineConfig(
        device=settings.device,
        dtype=settings.dtype,
        max_context=settings.max_context,
        max_slots=settings.max_slots,
    )
    engine = AsyncEngine(load_engine(settings.model, config))
    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    return Served(engine, tokenizer, settings.name or settings.model.resolve().name, settings.tool_format)


def serve(settings: ServeSettings, console: Console) -> None:
    """Serve until interrupted. The token, where one is wanted, comes from CLEARTRACE_SERVE_TOKEN."""
    token = os.environ.get(SERVE_TOKEN_VARIABLE) or None
    check_binding(settings.host, token, SERVE_TOKEN_VARIABLE)
    listener = listen(settings.host, settings.port)
    served = load(settings)

    def started(address: str, stop: Callable[[], None]) -> None:
        del stop
        console.print(f"{served.name} at {address}/v1 (models, completions, chat/completions)")

    asyncio.run(run(build_app(served, token), listener, started))
