"""The client of an endpoint: what it sends, what it retries, what it refuses. The network is a function here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
from transformers import AutoTokenizer

from cleartrace.evaluate.settings import PolicySettings
from cleartrace.llm.http import EndpointUnavailable, RequestRefused
from cleartrace_verl.offline.completions import CompletionsPolicy, request_body
from tests.verl.offline.conftest import POLICY

PARAMS = {"temperature": 0.7, "top_p": 0.6, "top_k": -1, "max_tokens": 9, "seed": 4, "logprobs": True}
Answer = httpx.Response | Exception


def ok(**choice: Any) -> httpx.Response:
    return httpx.Response(200, json={"choices": [{"text": "", "finish_reason": "stop", **choice}]})


class Network:
    """Answers the n-th request with the n-th answer, the last one from then on; keeps what was sent."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = list(answers)
        self.sent: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        answer = self.answers[min(len(self.sent), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.sent if request.content]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(POLICY)


@pytest.fixture
def ask(tokenizer: Any) -> Callable[..., Any]:
    """ask(network, params=..., **settings) -> TokenOutput of one request."""

    def run(network: Network, params: dict[str, Any] = PARAMS, **settings: Any) -> Any:
        values = {"endpoint": "http://x/v1/", "tokenizer": POLICY, "endpoint_model": "m", "patience_s": 20, **settings}

        async def go() -> Any:
            policy = CompletionsPolicy(
                PolicySettings.model_validate(values), tokenizer, transport=httpx.MockTransport(network)
            )
            try:
                await policy.open()
                return await policy.generate("id", prompt_ids=[5, 6, 7], sampling_params=params)
            finally:
                await policy.close()

        return asyncio.run(go())

    return run


def test_ids_are_sent_and_ids_are_taken(ask: Callable[..., Any]) -> None:
    network = Network([ok(token_ids=[8, 9], logprobs={"tokens": ["a", "b"], "token_logprobs": [-0.1, -0.2]})])
    output = ask(network)
    assert (output.token_ids, output.log_probs) == ([8, 9], [-0.1, -0.2])
    assert str(network.sent[0].url) == "http://x/v1/completions"
    body = network.bodies[0]
    assert body["prompt"] == [5, 6, 7] and body["model"] == "m"
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["seed"]) == (0.7, 0.6, 9, 4)
    assert "top_k" not in body and "stop_token_ids" not in body


def test_options_that_are_set_are_sent() -> None:
    body = request_body({**PARAMS, "top_k": 20, "stop_token_ids": [3]}, scoring=False)
    assert (body["top_k"], body["stop_token_ids"]) == (20, [3])


def test_ids_in_the_names_of_tokens_are_taken(ask: Callable[..., Any]) -> None:
    given = {"tokens": ["token_id:8", "token_id:9"], "token_logprobs": [-0.5, -1.0]}
    output = ask(Network([ok(text="ignored", logprobs=given)]))
    assert (output.token_ids, output.log_probs) == ([8, 9], [-0.5, -1.0])


def test_text_alone_is_tokenised_and_ended(ask: Callable[..., Any], tokenizer: Any) -> None:
    """The log-probs of a text answer may belong to other tokens, so they are dropped."""
    plain = tokenizer.encode("Answer: 3", add_special_tokens=False)
    given = {"tokens": ["Answer", ": 3"], "token_logprobs": [-0.5, -1.0]}
    stopped = ask(Network([ok(text="Answer: 3", logprobs=given)]))
    assert stopped.token_ids == [*plain, tokenizer.eos_token_id] and stopped.log_probs is None
    assert ask(Network([ok(text="Answer: 3", finish_reason="length")])).token_ids == plain


def test_log_probs_of_another_length_are_dropped(ask: Callable[..., Any]) -> None:
    assert ask(Network([ok(token_ids=[8, 9], logprobs={"token_logprobs": [-0.1]})])).log_probs is None


def test_a_prompt_as_text(ask: Callable[..., Any], tokenizer: Any) -> None:
    network = Network([ok(token_ids=[8])])
    ask(network, prompt_as="text")
    assert network.bodies[0]["prompt"] == tokenizer.decode([5, 6, 7])


def test_scores_come_from_an_echo(ask: Callable[..., Any]) -> None:
    network = Network([ok(logprobs={"token_logprobs": [None, -0.1, -0.2, -9.0]})])
    output = ask(network, params={"prompt_logprobs": 0, "max_tokens": 1, "temperature": 1.0})
    assert output.extra_fields["prompt_logprobs"] == [[-0.1], [-0.2], [0.0]]
    assert network.bodies[0]["echo"] is True
    silent = ask(Network([ok()]), params={"prompt_logprobs": 0, "max_tokens": 1})
    assert "prompt_logprobs" not in silent.extra_fields


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(429, headers={"Retry-After": "0"}),
        httpx.Response(503, headers={"Retry-After": "0.01"}),
        httpx.Response(500),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.Response(200, text="<html>"),
    ],
    ids=str,
)
def test_passing_failures_are_tried_again(ask: Callable[..., Any], failure: Answer) -> None:
    network = Network([failure, ok(token_ids=[8])])
    assert ask(network).token_ids == [8] and len(network.sent) == 2


def test_the_servers_own_pause_is_kept(ask: Callable[..., Any]) -> None:
    """A pause beyond the patience ends at once: waiting would change nothing."""
    network = Network([httpx.Response(429, headers={"Retry-After": "3600"})])
    with pytest.raises(EndpointUnavailable, match="no answer within 20 s: HTTP 429"):
        ask(network)
    assert len(network.sent) == 1


def test_an_endpoint_that_stays_away_is_unavailable(ask: Callable[..., Any]) -> None:
    with pytest.raises(EndpointUnavailable, match="within 1 s: ConnectError"):
        ask(Network([httpx.ConnectError("refused")]), patience_s=1)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_client_is_unavailable_at_once(ask: Callable[..., Any], status: int) -> None:
    network = Network([httpx.Response(status, text="who are you")])
    with pytest.raises(EndpointUnavailable, match=f"HTTP {status}: who are you. Check the address"):
        ask(network)
    assert len(network.sent) == 1


def test_a_refused_request_is_that_requests_failure(ask: Callable[..., Any]) -> None:
    with pytest.raises(RequestRefused, match="HTTP 400: too long"):
        ask(Network([httpx.Response(400, text="too long")]))


@pytest.mark.parametrize(("choice", "message"), [({"finish_reason": "abort"}, "finish_reason='abort'")])
def test_an_aborted_answer_is_not_a_short_one(ask: Callable[..., Any], choice: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestRefused, match=message):
        ask(Network([ok(**choice)]))


def test_an_answer_without_a_choice_is_refused(ask: Callable[..., Any]) -> None:
    with pytest.raises(RequestRefused, match="without a choice"):
        ask(Network([httpx.Response(200, json={"choices": []})]))


def test_the_only_model_is_found_and_several_are_listed(ask: Callable[..., Any]) -> None:
    network = Network([httpx.Response(200, json={"data": [{"id": "only"}]}), ok(token_ids=[8])])
    ask(network, endpoint_model=None)
    assert network.bodies[0]["model"] == "only"
    with pytest.raises(EndpointUnavailable, match=r"2 models \(a, b\): choose one with --endpoint-model"):
        ask(Network([httpx.Response(200, json={"data": [{"id": "a"}, {"id": "b"}]})]), endpoint_model=None)


def test_the_key_comes_from_the_environment(ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "abc")
    network = Network([ok(token_ids=[8])])
    ask(network, api_key_env="THE_KEY")
    assert network.sent[0].headers["Authorization"] == "Bearer abc"
    ask(network, api_key_env="ANOTHER")
    assert "Authorization" not in network.sent[1].headers
