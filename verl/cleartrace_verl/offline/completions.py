"""A policy behind an OpenAI-compatible `/v1/completions`: vLLM, SGLang, llama.cpp, `cleartrace serve` and others.

The prompt is sent as token ids, and token ids are asked for. A server that gives text only is tokenised here; its
log-probs are then not used, because they may belong to other tokens.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from verl.workers.rollout.replica import TokenOutput

from cleartrace.evaluate.names import PromptAs
from cleartrace.evaluate.settings import PolicySettings
from cleartrace_verl.offline.policy import PolicyUnavailable

RETRY_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
REFUSED_STATUSES = frozenset({401, 403, 404, 405})
_BACKOFF_MIN_S, _BACKOFF_MAX_S = 0.5, 30.0
_ID_PREFIX = "token_id:"


class RequestRefused(RuntimeError):
    """The endpoint does not serve this one request, for example because it is too long."""


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
        root = settings.endpoint.rstrip("/")
        self._url = root if root.endswith("/v1") else f"{root}/v1"
        self._as_text = settings.prompt_as is PromptAs.TEXT
        self._patience_s = settings.patience_s
        self._tokenizer = tokenizer
        self._model = settings.endpoint_model or ""
        key = os.environ.get(settings.api_key_env)
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(settings.request_timeout_s, connect=10.0),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            transport=transport,
        )

    async def identify(self) -> str:
        """The model's name there, asked for where none was given.

        Raises PolicyUnavailable when the endpoint does not answer, or serves several models.
        """
        if not self._model:
            answer = await self._send("GET", "/models")
            served = [str(row.get("id")) for row in answer.get("data", [])]
            if len(served) != 1:
                raise PolicyUnavailable(
                    f"{self._url}/models lists {len(served)} models ({', '.join(served[:8])}): choose one with "
                    "--endpoint-model NAME"
                )
            self._model = served[0]
        return self._model

    async def open(self) -> None:
        await self.identify()

    async def close(self) -> None:
        await self._http.aclose()

    async def generate(
        self, request_id: str, prompt_ids: list[int], sampling_params: dict[str, Any], **kwargs: Any
    ) -> TokenOutput:
        """Sample one continuation; with `prompt_logprobs: 0` score the prompt instead, by `echo`.

        Raises RequestRefused for this request, PolicyUnavailable when no request can be expected to work.
        """
        del kwargs, request_id
        scoring = sampling_params.get("prompt_logprobs") is not None
        body = request_body(sampling_params, scoring=scoring)
        prompt = self._tokenizer.decode(prompt_ids) if self._as_text else list(prompt_ids)
        answer = await self._send("POST", "/completions", {"model": self._model, "prompt": prompt, **body})
        try:
            choice = answer["choices"][0]
        except (KeyError, IndexError, TypeError) as error:
            raise RequestRefused(f"{self._url}/completions answered without a choice: {str(answer)[:300]}") from error
        return prompt_scores(choice, prompt_ids) if scoring else self._sampled(choice)

    def _sampled(self, choice: Mapping[str, Any]) -> TokenOutput:
        reason = choice.get("finish_reason")
        if reason not in ("stop", "length", "eos", None):
            raise RequestRefused(f"{self._url}/completions ended a request with finish_reason={reason!r}")
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

    async def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        deadline = time.monotonic() + self._patience_s
        wait = _BACKOFF_MIN_S
        while True:
            said, asked_s = await self._try(method, path, body)
            if isinstance(said, dict):
                return said
            pause = asked_s if asked_s is not None else wait * random.uniform(0.5, 1.0)
            if time.monotonic() + pause > deadline:
                raise PolicyUnavailable(f"{self._url}{path} gave no answer within {self._patience_s:.0f} s: {said}")
            await asyncio.sleep(pause)
            wait = min(wait * 2, _BACKOFF_MAX_S)

    async def _try(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> tuple[dict[str, Any] | str, float | None]:
        """(answer, None), or (what went wrong, seconds the server asks to wait)."""
        try:
            response = await self._http.request(method, f"{self._url}{path}", json=body)
        except httpx.TransportError as error:
            return f"{type(error).__name__}: {error}", None
        except httpx.InvalidURL as error:
            raise PolicyUnavailable(f"--endpoint {self._url}: {error}") from error
        said = f"HTTP {response.status_code}: {response.text[:300]}"
        if response.status_code in RETRY_STATUSES:
            return said, _retry_after(response)
        if response.status_code in REFUSED_STATUSES:
            raise PolicyUnavailable(f"{self._url}{path} refused: {said}. Check the address, the model and the key.")
        if not response.is_success:
            raise RequestRefused(f"{self._url}{path} refused a request: {said}")
        try:
            answer = response.json()
        except ValueError:
            return f"not JSON: {response.text[:300]}", None
        return (answer, None) if isinstance(answer, dict) else (f"not an object: {str(answer)[:300]}", None)


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


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(float(response.headers.get("Retry-After", "")), 0.0)
    except ValueError:
        return None
