"""A model behind an OpenAI-compatible `/v1/chat/completions`, asked from a few threads at a time."""

from __future__ import annotations

import base64
import mimetypes
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from cleartrace.llm.http import Endpoint, EndpointUnavailable, RequestRefused
from cleartrace.pairs.prompt import PairPrompt
from cleartrace.pairs.record import ImageRef
from cleartrace.probe.answer import Answer, parse_letter, read_top_logprobs
from cleartrace.probe.ask import Ask
from cleartrace.probe.names import Mode, Status

TOP_LOGPROBS = 20


class ChatModel:
    """Answers asks over HTTP; answers arrive in the order in which they are given.

    Args:
        extra: fields added to each request, over ours; None takes a field out, as some models refuse `temperature`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        mode: Mode,
        *,
        answer_tokens: int = 16,
        concurrency: int = 8,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._model = model
        self._mode = mode
        self._answer_tokens = answer_tokens
        self._concurrency = concurrency
        self._extra = dict(extra or {})

    def answer(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """One answer per ask. Raises EndpointUnavailable when going on is of no use."""
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="probe")
        try:
            for done in as_completed([pool.submit(self._ask, ask) for ask in asks]):
                yield done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def request(self, prompt: PairPrompt) -> dict[str, Any]:
        """The body of one request."""
        body: dict[str, Any] = {"model": self._model, "messages": chat_messages(prompt), "temperature": 0}
        if self._mode is Mode.LOGIT:
            body |= {"max_tokens": 1, "logprobs": True, "top_logprobs": TOP_LOGPROBS}
        else:
            body |= {"max_tokens": self._answer_tokens}
        return {name: value for name, value in {**body, **self._extra}.items() if value is not None}

    def _ask(self, ask: Ask) -> Answer:
        began = time.perf_counter()
        common: dict[str, Any] = {"prompt": ask.key, "pair_id": ask.pair_id, "arm": ask.arm, "order": ask.order.value}
        try:
            said, tries = self._endpoint.send("POST", "/chat/completions", self.request(ask.prompt))
            read = self._read(said, ask.letters)
        except RequestRefused as error:
            return Answer(**common, status=Status.REFUSED, error=str(error), seconds=time.perf_counter() - began)
        status = Status.ANSWERED if read["letter"] else Status.INVALID
        return Answer(**common, **read, status=status, tries=tries, seconds=time.perf_counter() - began)

    def _read(self, said: Mapping[str, Any], letters: tuple[str, str]) -> dict[str, Any]:
        try:
            choice = said["choices"][0]
            text = str(choice["message"].get("content") or "")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise RequestRefused(f"{self._endpoint.url} answered without a choice: {str(said)[:300]}") from None
        if self._mode is Mode.GENERATE:
            return {"letter": parse_letter(text, letters), "text": text}
        top = _first_top_logprobs(choice)
        if not top:
            raise EndpointUnavailable(f"{self._endpoint.url} gives no top_logprobs: probe it with --mode generate")
        letter, margin, mass = read_top_logprobs(top, letters)
        return {"letter": letter, "margin": margin, "mass": mass, "text": text}


def chat_messages(prompt: PairPrompt) -> list[dict[str, Any]]:
    """The messages of a pair with its images as data URLs, in the order in which the prompt shows them."""
    images = iter(prompt.images)

    def part(given: dict[str, Any]) -> dict[str, Any]:
        return (
            {"type": "image_url", "image_url": {"url": data_url(next(images))}} if given["type"] == "image" else given
        )

    return [
        {**message, "content": [part(given) for given in message["content"]]}
        if isinstance(message["content"], list)
        else message
        for message in prompt.messages
    ]


def data_url(image: ImageRef) -> str:
    """The file as `data:image/...;base64,...`."""
    kind = mimetypes.guess_type(image.path)[0] or "image/png"
    return f"data:{kind};base64,{base64.b64encode(Path(image.path).read_bytes()).decode('ascii')}"


def _first_top_logprobs(choice: Mapping[str, Any]) -> dict[str, float]:
    """Token -> log-probability at the first answer token; {} where the server gives none."""
    content = (choice.get("logprobs") or {}).get("content") or [{}]
    return {str(row["token"]): float(row["logprob"]) for row in content[0].get("top_logprobs") or []}
