"""The requests and answers of `cleartrace serve`: OpenAI's shapes, with vLLM's names for token ids."""

from __future__ import annotations

import time
import uuid
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Request(BaseModel):
    # Clients send fields of many servers; those that would change the answer and are not served are refused below.
    model_config = ConfigDict(extra="ignore")

    model: str | None = None
    max_tokens: int | None = Field(default=None, ge=0)
    temperature: float = Field(default=1.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    n: int = Field(default=1, ge=1, le=128)
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] = []
    ignore_eos: bool = False
    skip_special_tokens: bool = True
    stream: bool = False
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0

    def unserved(self) -> str:
        """What is asked for and not served, in words; "" when all is."""
        asked = {
            "stream": self.stream,
            "stop (use stop_token_ids)": bool(self.stop),
            "frequency_penalty": self.frequency_penalty != 0,
            "presence_penalty": self.presence_penalty != 0,
            "repetition_penalty": self.repetition_penalty != 1,
        }
        return ", ".join(name for name, wanted in asked.items() if wanted)


class CompletionRequest(_Request):
    """POST /v1/completions. A prompt is text or token ids, or a list of either."""

    prompt: str | list[int] | list[str] | list[list[int]]
    max_tokens: int | None = Field(default=16, ge=0)
    logprobs: int | None = Field(default=None, ge=0, le=1)
    echo: bool = False
    return_token_ids: bool = False
    return_tokens_as_token_ids: bool = False

    def prompts(self) -> list[str | list[int]]:
        given = self.prompt
        if isinstance(given, str):
            return [given]
        if all(isinstance(item, int) for item in given):
            return [[item for item in given if isinstance(item, int)]]
        return [item for item in given if not isinstance(item, int)]


class ChatRequest(_Request):
    """POST /v1/chat/completions, with tools."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    tools: list[dict[str, Any]] | None = None
    max_completion_tokens: int | None = Field(default=None, ge=0)
    skip_special_tokens: bool = True


def envelope(kind: str, model: str, choices: list[dict[str, Any]], prompt_tokens: int, tokens: int) -> dict[str, Any]:
    """The outer object of an answer."""
    return {
        "id": f"cmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": prompt_tokens + tokens,
        },
    }


def failure(message: str, status: int) -> dict[str, Any]:
    """The body of an error."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "code": status}}
