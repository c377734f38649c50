"""An OpenAI-compatible endpoint: requests, retries, what stops a run, and a real server."""

from __future__ import annotations

import base64
import json
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from make_probe import image_pairs, text_pairs

from cleartrace.llm.http import Endpoint, EndpointUnavailable
from cleartrace.probe.answer import Answer
from cleartrace.probe.ask import Ask, asks
from cleartrace.probe.endpoint import ChatModel, chat_messages
from cleartrace.probe.names import Mode, Status

Handler = Callable[[httpx.Request], httpx.Response]


def questions(n: int = 2) -> list[Ask]:
    pairs = text_pairs(n)
    return asks(pairs, pairs, controls=False)


def said(text: str, top: dict[str, float] | None = None) -> httpx.Response:
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}}
    if top is not None:
        rows = [{"token": token, "logprob": value} for token, value in top.items()]
        choice["logprobs"] = {"content": [{"token": text, "logprob": 0.0, "top_logprobs": rows}]}
    return httpx.Response(200, json={"choices": [choice]})


def model(handler: Handler, mode: Mode = Mode.GENERATE, waits: list[float] | None = None, **options: Any) -> ChatModel:
    sleep = (waits if waits is not None else []).append
    endpoint = Endpoint("http://x", transport=httpx.MockTransport(handler), patience_s=100, sleep=sleep)
    return ChatModel(endpoint, "m", mode, **options)


def by_key(answers: Any) -> dict[str, Answer]:
    return {answer.prompt: answer for answer in answers}


def test_a_letter_is_asked_for_and_read() -> None:
    bodies: list[dict[str, Any]] = []

    def serve(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return said("B")

    asked = questions()
    answers = by_key(model(serve, extra={"temperature": None, "seed": 1}).answer(asked))
    assert {answer.letter for answer in answers.values()} == {"B"} and set(answers) == {ask.key for ask in asked}
    sent = {body["messages"][0]["content"] for body in bodies}
    assert sent == {ask.prompt.messages[0]["content"] for ask in asked}
    rest = {"model": "m", "max_tokens": 16, "seed": 1}
    assert all({k: v for k, v in body.items() if k != "messages"} == rest for body in bodies)


def test_logits_are_read_from_top_logprobs() -> None:
    top = {"A": math.log(0.6), "B": math.log(0.2)}
    (answer, *_) = model(lambda request: said("A", top), Mode.LOGIT).answer(questions())
    assert (answer.letter, answer.status) == ("A", Status.ANSWERED)
    assert answer.margin == pytest.approx(math.log(3)) and answer.mass == pytest.approx(0.8)


def test_a_server_without_top_logprobs_stops_a_logit_probe() -> None:
    with pytest.raises(EndpointUnavailable, match="gives no top_logprobs: probe it with --mode generate"):
        list(model(lambda request: said("A"), Mode.LOGIT).answer(questions()))


def test_an_answer_without_one_letter_is_invalid() -> None:
    (answer, *_) = model(lambda request: said("A or B")).answer(questions(1))
    assert (answer.status, answer.letter, answer.text) == (Status.INVALID, "", "A or B")


def test_a_busy_server_is_asked_again_when_it_says() -> None:
    replies = iter([httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(503), said("A")])
    waits: list[float] = []
    (answer,) = model(lambda request: next(replies), waits=waits).answer(questions(1)[:1])
    assert (answer.tries, answer.letter) == (3, "A") and waits[0] == 7 and 0.25 <= waits[1] <= 1


def test_a_refused_request_is_recorded_and_the_run_goes_on() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        long = "fox 0" in request.content.decode()
        return httpx.Response(400, text="context length exceeded") if long else said("A")

    answers = list(model(serve).answer(questions(4)))
    assert sorted(answer.status.value for answer in answers) == ["answered"] * 4 + ["refused"] * 4
    assert "context length exceeded" in next(answer.error for answer in answers if answer.status is Status.REFUSED)


@pytest.mark.parametrize("status", [401, 404])
def test_a_wrong_key_or_address_stops_the_run_at_once(status: int) -> None:
    calls: list[int] = []

    def serve(request: httpx.Request) -> httpx.Response:
        calls.append(1)
        return httpx.Response(status)

    with pytest.raises(EndpointUnavailable, match="Check the address, the model and the key"):
        list(model(serve, concurrency=1).answer(questions(20)))
    assert len(calls) < 40


def test_no_more_requests_at_a_time_than_allowed() -> None:
    lock, running, peak = threading.Lock(), [0], [0]

    def serve(request: httpx.Request) -> httpx.Response:
        with lock:
            running[0] += 1
            peak[0] = max(peak[0], running[0])
        time.sleep(0.01)
        with lock:
            running[0] -= 1
        return said("A")

    assert len(list(model(serve, concurrency=3).answer(questions(10)))) == 20
    assert peak[0] == 3


def test_images_travel_as_data_urls_in_their_order(tmp_path: Path) -> None:
    pair = image_pairs(tmp_path, 1)[0]
    first = asks([pair], [pair], controls=False)[0]
    parts = chat_messages(first.prompt)[0]["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    shown = [base64.b64decode(url.removeprefix("data:image/png;base64,")) for url in urls]
    assert shown == [Path(side.path).read_bytes() for side in (pair.pos, pair.neg)]  # type: ignore[union-attr]
