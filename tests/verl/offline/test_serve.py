"""The server: OpenAI's shapes over the embedded engine, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from rich.console import Console

from cleartrace.evaluate.settings import ServeSettings
from cleartrace.serving import NotServed, listen
from cleartrace.tools.code_interpreter import TOOL_SCHEMA
from cleartrace_verl.engine import Sampling
from cleartrace_verl.offline.serve import Served, build_app, serve

Call = Callable[..., httpx.Response]
PROMPT = "<|im_start|>user\nHow many vowels are in alpha?<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture
def call(served: Served) -> Call:
    """call(path, **body) -> response; a GET without a body."""

    def send(path: str, token: str | None = None, key: str = "", **body: Any) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(build_app(served, token))
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            async with httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as http:
                return await (http.post(path, json=body) if body else http.get(path))

        return asyncio.run(go())

    return send


def test_the_model_is_listed(call: Call) -> None:
    assert [row["id"] for row in call("/v1/models").json()["data"]] == ["tiny"]
    assert call("/health").json() == {"status": "ok"}


def test_text_and_ids_are_one_prompt(call: Call, served: Served) -> None:
    ids = served.tokenizer.encode(PROMPT)
    same = {"seed": 5, "max_tokens": 24, "return_token_ids": True}
    by_text, by_ids = (call("/v1/completions", prompt=prompt, **same).json() for prompt in (PROMPT, ids))
    assert by_text["choices"] == by_ids["choices"]
    assert by_text["choices"][0]["prompt_token_ids"] == ids
    assert by_text["usage"]["prompt_tokens"] == len(ids)
    assert by_text["usage"]["completion_tokens"] == len(by_text["choices"][0]["token_ids"]) <= 24


def test_answers_carry_the_engines_ids_and_log_probs(call: Call, served: Served) -> None:
    ids = served.tokenizer.encode(PROMPT)
    body = {"prompt": ids, "seed": 3, "max_tokens": 16, "logprobs": 1, "return_token_ids": True}
    choice = call("/v1/completions", **body).json()["choices"][0]
    values = choice["logprobs"]["token_logprobs"]
    again = asyncio.run(served.engine.score(ids, choice["token_ids"]))
    assert len(values) == len(choice["token_ids"]) and values == pytest.approx(again, abs=1e-4)
    named = call("/v1/completions", **body, return_tokens_as_token_ids=True).json()["choices"][0]["logprobs"]["tokens"]
    assert named == [f"token_id:{token}" for token in choice["token_ids"]]


def test_echo_scores_the_prompt(call: Call, served: Served) -> None:
    ids = served.tokenizer.encode(PROMPT)
    choice = call("/v1/completions", prompt=ids, max_tokens=0, echo=True, logprobs=1).json()["choices"][0]
    values = choice["logprobs"]["token_logprobs"]
    assert values[0] is None
    assert values[1:] == pytest.approx(asyncio.run(served.engine.score(ids[:1], ids[1:])), abs=1e-4)


def test_the_end_token_is_in_the_ids_and_not_in_the_text(call: Call, served: Served) -> None:
    body = {"prompt": PROMPT, "max_tokens": 300, "seed": 1, "return_token_ids": True, "skip_special_tokens": False}
    choice = call("/v1/completions", **body).json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["token_ids"][-1] == served.tokenizer.eos_token_id
    assert not choice["text"].endswith(served.tokenizer.eos_token)


def test_several_samples_of_several_prompts(call: Call) -> None:
    answer = call("/v1/completions", prompt=[PROMPT, "How"], n=3, max_tokens=12, seed=0).json()
    assert [choice["index"] for choice in answer["choices"]] == list(range(6))
    assert len({choice["text"] for choice in answer["choices"][:3]}) > 1


def test_a_chat_with_a_tool_reads_the_call(call: Call, served: Served) -> None:
    messages = [
        {"role": "system", "content": "Use Python. Put the answer in \\boxed{}."},
        {"role": "user", "content": "How many vowels are in alpha?"},
    ]
    body = {"messages": messages, "tools": [TOOL_SCHEMA], "n": 8, "seed": 0, "max_tokens": 120}
    choices = call("/v1/chat/completions", **body).json()["choices"]
    called = [choice for choice in choices if choice["finish_reason"] == "tool_calls"]
    assert called, [choice["message"] for choice in choices]
    function = called[0]["message"]["tool_calls"][0]["function"]
    assert function["name"] == "code_interpreter" and "code" in function["arguments"]
    assert "<tool_call>" not in called[0]["message"]["content"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stop": ["\n"]}, "not served here: stop"),
        ({"stream": True}, "not served here: stream"),
        ({"model": "other"}, "the model 'other' is not served here; this is 'tiny'"),
        ({"prompt": [999_999]}, "token id outside"),
        ({"prompt": [1] * 600}, "600 tokens"),
        ({"prompt": ""}, "the prompt is empty"),
        ({"temperature": -1}, "temperature"),
        ({"repetition_penalty": 1.2}, "repetition_penalty"),
    ],
)
def test_what_is_not_served_is_refused(call: Call, change: dict[str, Any], message: str) -> None:
    answer = call("/v1/completions", **{"prompt": PROMPT, "max_tokens": 4, **change})
    assert answer.status_code == 400 and message in answer.json()["error"]["message"]


def test_a_token_is_wanted_when_one_is_set(call: Call) -> None:
    assert call("/v1/models", token="t").status_code == 401
    assert call("/v1/models", token="t", key="wrong").status_code == 401
    assert call("/v1/models", token="t", key="t").status_code == 200
    assert call("/health", token="t").status_code == 200


def test_other_machines_are_served_with_a_token_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLEARTRACE_SERVE_TOKEN", raising=False)
    open_to_all = ServeSettings.model_validate({"model": "m", "host": "0.0.0.0", "port": 0})
    with pytest.raises(NotServed, match="CLEARTRACE_SERVE_TOKEN"):
        serve(open_to_all, Console())


def test_a_port_that_is_taken_is_told_before_the_model_loads() -> None:
    with listen("127.0.0.1", 0) as other:
        taken = ServeSettings.model_validate({"model": "m", "port": other.getsockname()[1]})
        with pytest.raises(NotServed, match="cannot listen"):
            serve(taken, Console())


def test_a_fixed_seed_gives_the_engines_own_sample(call: Call, served: Served) -> None:
    ids = served.tokenizer.encode(PROMPT)
    done = asyncio.run(served.engine.generate(ids, Sampling(seed=11, max_tokens=20), "direct"))
    choice = call("/v1/completions", prompt=ids, seed=11, max_tokens=20, return_token_ids=True).json()["choices"][0]
    assert tuple(choice["token_ids"]) == done.token_ids
