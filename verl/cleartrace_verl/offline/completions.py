"""A policy behind an OpenAI-compatible `/v1/completions`: vLLM, SGLang, llama.cpp, `cleartrace serve` and others.

The prompt is sent as token ids, and token ids are asked for. A server that gives text only is tokenised here; its
log-probs are then not used, because they may belong to other tokens.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from verl.workers.rollout.replica import TokenOutput

from cleartrace.evaluate.names import PromptAs
from cleartrace.evaluate.settings import PolicySettings
from cleartrace.llm.http import AsyncEndpoint, RequestRefused

_ID_PREFIX = "token_id:"


class CompletionsPolicy:
    """One client for all rollouts of a run."""

    def __init__(
        self,
        settings: PolicySettings,
        tokenizer: Any,
        *,
        connections: int = 64,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        assert settings.endpoint is not None
        self._as_text = settings.prompt_as is PromptAs.TEXT
        self._tokenizer = tokenizer
        self._model = settings.endpoint_model or ""
        self._endpoint = AsyncEndpoint(
            settings.endpoint,
            key=os.environ.get(settings.api_key_env),
            timeout_s=settings.request_timeout_s,
            patience_s=settings.patience_s,
            connections=connections,
            transport=transport,
        )

    async def identify(self) -> str:
        """The model's name there, asked for where none was given.

        Raises EndpointUnavailable when the endpoint does not answer, or serves several models.
        """
        self._model = self._model or await self._endpoint.only_model("--endpoint-model")
        return self._model

    async def open(self) -> None:
        await self.identify()

    async def close(self) -> None:
        await self._endpoint.close()

    async def generate(
        self, request_id: str, prompt_ids: list[int], sampling_params: dict[str, Any], **kwargs: Any
    ) -> TokenOutput:
        """Sample one continuation; with `prompt_logprobs: 0` score the prompt instead, by `echo`.

        Raises RequestRefused for this request, EndpointUnavailable when no request can be expected to work.
        """
        del kwargs, request_id
        scoring = sampling_params.get("prompt_logprobs") is not None
        body = request_body(sampling_params, scoring=scoring)
        prompt = self._tokenizer.decode(prompt_ids) if self._as_text else list(prompt_ids)
        answer = await self._endpoint.send("POST", "/completions", {"model": self._model, "prompt": prompt, **body})
        try:
            choice = answer["choices"][0]
        except (KeyError, IndexError, TypeError) as error:
            said = f"{self._endpoint.url}/completions answered without a choice: {str(answer)[:300]}"
            raise RequestRefused(said) from error
        return prompt_scores(choice, prompt_ids) if scoring else self._sampled(choice)

    def _sampled(self, choice: Mapping[str, Any]) -> TokenOutput:
        reason = choice.get("finish_reason")
        if reason not in ("stop", "length", "eos", None):
            raise RequestRefused(f"{self._endpoint.url}/completions ended a request with finish_reason={reason!r}")
        logprobs = choice.get("logprobs") or {}
        ids = token_ids_of(choice)
        values: list[float] | None = None
        if ids is None:
            ids = self._tokenize(str(choice.get("text") or ""), ended=reason in ("stop", "eos"))
        elif len(given := logprobs.get("token_logprobs") or ()) == len(ids) and None not in given:
            values = [float(value) for value in given]
        return TokenOutput(token_ids=ids, log_probs=values, stop_reason="completed", num_preempted=0)

    def _tokenize(self, text: str, *, ended: bool) -> list[int]:
        """Ids of a text answer; servers leave the end-of-turn token out of it."""
        ids = list(self._tokenizer.encode(text, add_special_tokens=False))
        eos = self._tokenizer.eos_token_id
        return [*ids, eos] if ended and eos is not None and ids[-1:] != [eos] else ids


def request_body(params: Mapping[str, Any], *, scoring: bool) -> dict[str, Any]:
    """The JSON body of a request without model and prompt.

    What is not OpenAI's (top_k, stop_token_ids, return_token_ids, ...) is understood by vLLM and SGLang and passed
    over by others.
    """
    if scoring:
        return {"max_tokens": 1, "temperature": params.get("temperature", 1.0), "logprobs": 1, "echo": True}
    body = {
        "max_tokens": params["max_tokens"],
        "temperature": params.get("temperature", 1.0),
        "top_p": params.get("top_p", 1.0),
        "seed": params.get("seed"),
        "logprobs": 1 if params.get("logprobs") else None,
        "top_k": params.get("top_k") if params.get("top_k", -1) > 0 else None,
        "stop_token_ids": params.get("stop_token_ids") or None,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "skip_special_tokens": False,
    }
    return {key: value for key, value in body.items() if value is not None}


def token_ids_of(choice: Mapping[str, Any]) -> list[int] | None:
    """The sampled ids of an answer, where it has them: vLLM's `token_ids`, or tokens written as `token_id:7`."""
    ids = choice.get("token_ids")
    if isinstance(ids, Sequence) and not isinstance(ids, str):
        return [int(token) for token in ids]
    tokens = (choice.get("logprobs") or {}).get("tokens") or ()
    if tokens and all(isinstance(token, str) and token.startswith(_ID_PREFIX) for token in tokens):
        return [int(token[len(_ID_PREFIX) :]) for token in tokens]
    return None


def prompt_scores(choice: Mapping[str, Any], prompt_ids: Sequence[int]) -> TokenOutput:
    """Log-probs of the prompt's tokens out of an `echo` answer; row i of `prompt_logprobs` is for token i + 1."""
    values = ((choice.get("logprobs") or {}).get("token_logprobs") or [])[: len(prompt_ids)]
    fields: dict[str, Any] = {}
    if len(values) == len(prompt_ids) and None not in values[1:]:
        fields["prompt_logprobs"] = [[float(value)] for value in (*values[1:], 0.0)]
    return TokenOutput(token_ids=[], log_probs=[], stop_reason="completed", num_preempted=0, extra_fields=fields)
