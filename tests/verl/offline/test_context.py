"""A context augmentation model behind the real server, reached by its name: by providers, and through the proxy."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from cleartrace.context.middleware.briefing import Briefing
from cleartrace.context.middleware.proxy import Upstream, build_app
from cleartrace.context.providers import provider_from_spec
from cleartrace.episodes.types import Context, PartKind, Task
from cleartrace_verl.engine import AsyncEngine, EngineConfig, load_engine
from cleartrace_verl.offline.serve import Served
from cleartrace_verl.offline.serve import build_app as build_server
from tests.verl.offline.conftest import POLICY

pytest.importorskip("openai")
TASKS = [Task(environment="vowels", id=f"t{n}", input=f"How many vowels are in {word}?") for n, word in
         enumerate(("alpha", "rhythm"))]  # fmt: skip


@pytest.fixture(scope="module")
def cam(served: Served) -> Iterator[str]:
    """The shipped policy with room for the instruction of a context augmentation model; its address."""
    engine = AsyncEngine(load_engine(POLICY, EngineConfig(max_slots=4, max_context=1024)))
    listener = socket.create_server(("127.0.0.1", 0))
    app = build_server(Served(engine, served.tokenizer, "cam"))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    server.should_exit = True
    thread.join(10)


def ask(spec: str) -> list[Context]:
    async def run() -> list[Context]:
        provider = provider_from_spec(spec, 200)
        try:
            return [await provider.context_for(task, 3) for task in TASKS]
        finally:
            await provider.close()  # type: ignore[attr-defined]

    return asyncio.run(run())


def test_a_served_model_writes_context_and_repeats_it(cam: str):
    spec = f"model:openai/cam@{cam}?max_tokens=24&temperature=1"
    first, second = ask(spec), ask(spec)
    assert [one.text for one in first] == [one.text for one in second], "a seed repeats an answer"
    assert all(one.usage.input_tokens > 50 and 0 < one.usage.output_tokens <= 24 for one in first)
    assert [one.parts[0].kind for one in first if one.text] and not first[0].abstained
    assert first[0].parts[0].kind is PartKind.SAMPLE


def test_hybrid_and_abstaining_providers_are_reached_by_name(cam: str, tmp_path: Path):
    rows, rates = tmp_path / "rows.jsonl", tmp_path / "rates.json"
    rows.write_text('{"id": "r1", "key": "count vowels in a word", "text": "Count y as no vowel."}\n')
    rates.write_text('{"t1": 1.0}')
    spec = f"rag:{rows} + model:openai/cam@{cam}?max_tokens=16&temperature=0 + abstain:{rates}"
    given, silent = ask(spec)
    assert "Count y as no vowel." in given.text and given.parts[0].id == "r1" and given.usage.calls == 1
    assert silent.abstained and silent.usage.calls == 0, "nobody is asked in vain"


def test_the_proxy_puts_a_served_models_context_before_a_served_agent(cam: str):
    async def run() -> tuple[httpx.Response, Briefing]:
        briefing = Briefing(provider_from_spec(f"model:openai/cam@{cam}?max_tokens=16&temperature=0"))
        transport = httpx.ASGITransport(build_app(briefing, Upstream(cam)))
        async with httpx.AsyncClient(transport=transport, base_url="http://proxy", timeout=60) as http:
            messages = [{"role": "user", "content": TASKS[0].input}]
            body = {"model": "cam", "messages": messages, "max_tokens": 8, "seed": 1}
            answer = await http.post("/v1/chat/completions", json=body)
        await briefing.close()
        return answer, briefing

    answer, briefing = asyncio.run(run())
    (added,) = briefing.added
    assert answer.status_code == 200 and answer.json()["choices"][0]["message"]["role"] == "assistant"
    assert added.context.text and answer.json()["usage"]["prompt_tokens"] > len(added.context.text.split())
