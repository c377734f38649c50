"""The proxy on loopback: real clients in front of it, a real server behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from benchmarks.loopback import Answer, Loopback
from cleartrace.cli import app
from cleartrace.context.middleware.briefing import Briefing
from cleartrace.context.middleware.command import _logger
from cleartrace.context.middleware.proxy import Upstream, build_app
from cleartrace.context.providers import Model, Static
from cleartrace.llm.protocol import ServerError
from cleartrace.llm.scripted import Scripted
from cleartrace.serving import NotServed, check_binding, listen, run
from tests.context.middleware.conftest import STREAM

pytest.importorskip("starlette")
HELLO = [{"role": "user", "content": "Book a table."}]


@contextlib.contextmanager
def served(application) -> Iterator[str]:
    """Its address, while a thread serves it."""
    ready, found = threading.Event(), {}

    def started(url: str, stop: Callable[[], None]) -> None:
        found.update(url=url, stop=stop)
        ready.set()

    service = run(application, listen("127.0.0.1", 0), started)
    thread = threading.Thread(target=asyncio.run, args=(service,), daemon=True)
    thread.start()
    assert ready.wait(30)
    yield found["url"]
    found["stop"]()
    thread.join(10)
    assert not thread.is_alive()


def post(url: str, **body) -> httpx.Response:
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=30, headers={"Authorization": "Bearer mine"})


def test_a_conversation_gets_its_context_and_all_else_is_passed_on(endpoint: Loopback, tmp_path: Path):
    model = Model(Scripted(lambda request: "Look up opening hours."))
    log = tmp_path / "log" / "added.jsonl"
    briefing = Briefing(model, environment="office", heard=_logger(log))
    tools = [{"type": "function", "function": {"name": "book", "parameters": {"type": "object"}, "strict": True}}]
    with served(build_app(briefing, Upstream(f"{endpoint.url}/base/v2"))) as url:
        first = post(url, model="m", messages=HELLO, tools=tools, tool_choice="auto", seed=2**53 + 1)
        assert first.json()["choices"][0]["message"]["content"] == "done"
        history = [*HELLO, {"role": "assistant", "content": "done"}, {"role": "user", "content": "And for two?"}]
        post(url, model="m", messages=history)
        assert httpx.get(f"{url}/v1/models?limit=1").json()["data"][0]["id"] == "m"
        assert post(url, model="m", messages=[]).status_code == 200
        assert httpx.get(f"{url}/health").json() == {"status": "ok", "provider": model.hash}
    one, two, three, four = endpoint.asked
    system = {"role": "system", "content": "Look up opening hours."}
    assert one.path == "/base/v2/chat/completions" and one.headers["authorization"] == "Bearer mine"
    assert one.body == {
        "model": "m",
        "messages": [system, *HELLO],
        "tools": tools,
        "tool_choice": "auto",
        "seed": 2**53 + 1,
    }
    assert two.body["messages"] == [system, *history]
    assert three.path == "/base/v2/models?limit=1" and four.body["messages"] == []
    assert len(model.llm.requests) == 1
    assert first.headers["x-context-provider"] == model.hash and first.headers["x-context-abstained"] == "no"
    assert first.headers["x-context-parts"].startswith("sample:")
    (line,) = log.read_text().splitlines()
    assert json.loads(line)["context"]["text"] == "Look up opening hours."


def test_a_stream_passes_byte_for_byte_and_as_it_comes(endpoint: Loopback):
    with served(build_app(Briefing(Static("A")), Upstream(endpoint.url))) as url, httpx.Client(timeout=30) as client:
        body = {"model": "m", "messages": HELLO, "stream": True}
        with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            assert b"".join(answer.iter_raw()) == STREAM


def test_openais_client_speaks_through_it(endpoint: Loopback):
    openai = pytest.importorskip("openai")
    with served(build_app(Briefing(Static("A")), Upstream(endpoint.url), token="secret")) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0)
        said = "".join(
            c.choices[0].delta.content for c in client.chat.completions.create(model="m", messages=HELLO, stream=True)
        )
        assert said == "Paid"
        assert client.responses.create(model="m", input="Book a table.").output_text == "done"
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="wrong").models.list()
        assert httpx.get(f"{url}/health").status_code == 200
    assert [asked.headers.get("authorization") for asked in endpoint.asked] == [None, None], "the token stays here"
    assert endpoint.asked[1].body["input"][0] == {"role": "system", "content": "A"}


def test_the_upstreams_key_takes_the_place_of_the_clients(endpoint: Loopback):
    with served(build_app(Briefing(Static("A")), Upstream(endpoint.url, key="theirs"))) as url:
        post(url, model="m", messages=HELLO)
    assert endpoint.asked[0].headers["authorization"] == "Bearer theirs"


def test_errors_are_the_upstreams_own_or_say_whose_they_are(endpoint: Loopback):
    with Loopback(lambda asked: Answer({"error": {"message": "slow down"}}, 429, {"retry-after": "3"})) as busy:
        with served(build_app(Briefing(Static("A")), Upstream(busy.url))) as url:
            answer = post(url, model="m", messages=HELLO)
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
            broken = httpx.post(f"{url}/v1/chat/completions", content=b"[1, 2]", timeout=30)
            assert broken.status_code == 429, "what is no request is the upstream's to refuse"
        gone = busy.url
    with served(build_app(Briefing(Static("A")), Upstream(gone))) as url:
        answer = post(url, model="m", messages=HELLO)
        assert answer.status_code == 502 and "does not answer" in answer.json()["error"]["message"]
    failing = Model(Scripted([ServerError("down")]))
    with served(build_app(Briefing(failing), Upstream(endpoint.url))) as url:
        answer = post(url, model="m", messages=HELLO)
        assert answer.status_code == 502 and "ServerError: down" in answer.json()["error"]["message"]
    assert endpoint.asked == []


def test_s_it_listens_beyond_loopback_only_with_a_token(monkeypatch):
    with pytest.raises(NotServed, match="CLEARTRACE_CONTEXT_TOKEN"):
        check_binding("0.0.0.0", None, "CLEARTRACE_CONTEXT_TOKEN")
    check_binding("0.0.0.0", "secret", "X")
    check_binding("::1", None, "X")
    monkeypatch.delenv("CLEARTRACE_CONTEXT_TOKEN", raising=False)
    base = ["context", "serve", "--context", "none", "--upstream"]
    for words, said in (
        ([*base, "http://127.0.0.1:1/v1", "--host", "0.0.0.0"], "reached from other machines"),
        ([*base, "localhost:1"], "an upstream is an address"),
        ([*base, "http://127.0.0.1:1/v1", "--key-env", "NO_SUCH_KEY"], "NO_SUCH_KEY"),
        ([*base[:3], "nome", "--upstream", "http://127.0.0.1:1/v1"], "the nearest is none"),
    ):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 2 and said in done.output
