"""The cache, and A8: record once, replay without any endpoint."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from pathlib import Path

import pytest

from cleartrace.episodes.types import Usage
from cleartrace.llm.cached import Cached, request_key
from cleartrace.llm.connect import wrap
from cleartrace.llm.ledger import Ledger
from cleartrace.llm.protocol import (
    BudgetExhausted,
    LLMError,
    Message,
    RateLimited,
    Refused,
    Rejected,
    Request,
    Role,
    ServerError,
    ToolCall,
)
from cleartrace.llm.recording import NotRecorded, Recording, Replaying
from cleartrace.llm.scripted import Scripted


def request(text: str = "go", **fields) -> Request:
    return Request(role=fields.pop("role", Role.AGENT), messages=(Message(role="user", content=text),), **fields)


def echo(asked: Request) -> Message:
    call = ToolCall(id="c1", name="look", arguments=None, raw='{"a')
    content = f"heard {asked.messages[-1].content} {asked.seed} ü\ud83d"
    return Message(role="assistant", content=content, calls=(call,), native={"openai": {"x": [1]}})


# --- cache


def test_an_equal_request_is_paid_once_and_comes_back_the_same(tmp_path: Path) -> None:
    ledger, inner = Ledger(), Scripted(echo)
    llm = wrap(inner, ledger=ledger, cache=tmp_path)
    first = asyncio.run(llm.complete(request()))
    second = asyncio.run(llm.complete(request(role=Role.JUDGE)))
    assert len(inner.requests) == 1 and second.cached and not first.cached
    assert second.message.calls == first.message.calls and second.message.native == first.message.native
    assert second.usage == first.usage
    assert ledger.of(Role.JUDGE).hits == 1 and ledger.of(Role.JUDGE).saved == first.usage
    assert ledger.total.attempts == 1


def test_all_that_decides_a_reply_is_in_the_key() -> None:
    keys = {
        request_key(model, asked)
        for model in ("a/b", "a/c")
        for asked in (request(), request("x"), request(seed=1), request(temperature=0.5), request(max_tokens=3))
    }
    assert len(keys) == 10
    assert request_key("a/b", request()) == request_key("a/b", request(role=Role.JUDGE))


def test_equal_requests_at_once_are_sent_once(tmp_path: Path) -> None:
    async def slow(asked: Request) -> str:
        await asyncio.sleep(0.01)
        return "ok"

    async def run() -> Scripted:
        inner = Scripted(slow)
        llm = Cached(inner, tmp_path)
        await asyncio.gather(*(llm.complete(request()) for _ in range(9)))
        return inner

    assert len(asyncio.run(run()).requests) == 1


def test_errors_are_not_kept_but_a_refusal_that_was_paid_is(tmp_path: Path) -> None:
    refusal = Refused("policy")
    refusal.usage = Usage(calls=1, input_tokens=9)
    inner = Scripted([ServerError("x"), refusal])
    llm = Cached(inner, tmp_path, ledger := Ledger())
    with pytest.raises(ServerError):
        asyncio.run(llm.complete(request()))
    for _ in range(3):
        with pytest.raises(Refused, match="policy") as caught:
            asyncio.run(llm.complete(request()))
        assert caught.value.usage.input_tokens == 9
    assert len(inner.requests) == 2 and ledger.total.hits == 2


def test_a_broken_file_is_asked_again_and_mended(tmp_path: Path) -> None:
    inner = Scripted(lambda asked: "ok")
    llm = Cached(inner, tmp_path)
    asyncio.run(llm.complete(request()))
    (file,) = tmp_path.rglob("*.json")
    file.write_bytes(file.read_bytes()[:20])
    asyncio.run(llm.complete(request()))
    assert len(inner.requests) == 2 and asyncio.run(llm.complete(request())).cached
    assert not list(tmp_path.rglob("*.part"))


def _write_many(folder: str, name: str, file: str) -> None:
    async def run() -> None:
        llm = Recording(Cached(Scripted(lambda asked: f"{name} {'x' * 5000}"), Path(folder)), Path(file))
        for index in range(60):
            await llm.complete(request(f"question {index}"))
        await llm.close()

    asyncio.run(run())


def test_r27_many_writers_share_a_cache_and_a_recording(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=_write_many, args=(str(tmp_path / "cache"), name, str(tmp_path / "calls.jsonl")))
        for name in "abc"
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    inner = Scripted([])
    cached = Cached(inner, tmp_path / "cache")
    kept = [asyncio.run(cached.complete(request(f"question {index}"))).text for index in range(60)]
    assert all(len(text) == 5002 for text in kept) and not list((tmp_path / "cache").rglob("*.part"))
    rows = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert len(rows) == 180
    for row in rows:  # the first writer won, and all read its reply
        index = int(row["request"]["messages"][0]["content"].split()[1])
        assert row["reply"]["message"]["content"] == kept[index]


# --- recording (A8)


SCRIPT = [
    "one",
    Message(role="assistant", content="two", calls=(ToolCall(id="1", name="f", arguments=None, raw="{"),)),
    Refused("policy"),
    RateLimited("slow", wait_s=3.0),
    BudgetExhausted("calls: 3 of 3"),
    Rejected("bad"),
]


def run_all(llm, texts: list[str]) -> list[str]:
    async def run() -> list[str]:
        said = []
        for text in texts:
            try:
                said.append((await llm.complete(request(text))).canonical())
            except LLMError as error:
                said.append(f"{type(error).__name__} {error} {getattr(error, 'wait_s', '')}")
        await llm.close()
        return said

    return asyncio.run(run())


def test_a8_a_replay_is_the_same_run_with_no_call(tmp_path: Path) -> None:
    texts = ["a", "b", "a", "c", "d", "e"]  # the same request twice, with two different outcomes
    path = tmp_path / "calls.jsonl"
    first = run_all(Recording(Scripted(SCRIPT), path), texts)
    ledger = Ledger()
    assert run_all(Replaying(path, "scripted/model", ledger), texts) == first
    assert ledger.total.attempts == 0 and ledger.total.hits == len(texts)
    assert first[2].startswith("Refused") and first[3] == "RateLimited slow 3.0"


def test_a_call_that_was_not_recorded_is_an_error_that_shows_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    run_all(Recording(Scripted(lambda asked: "ok"), path), ["weather in Oslo today", "something else"])
    replay = Replaying(path, "scripted/model")
    with pytest.raises(NotRecorded, match="Oslo today"):
        asyncio.run(replay.complete(request("weather in Oslo tomorrow")))
    asyncio.run(replay.complete(request("something else")))
    with pytest.raises(NotRecorded, match="more often"):
        asyncio.run(replay.complete(request("something else")))
    with pytest.raises(NotRecorded, match="judge"):
        asyncio.run(replay.complete(request("something else", role=Role.JUDGE)))
    with pytest.raises(ValueError, match="scripted/model"):
        Replaying(path, "openai/other")


def test_a_recording_goes_on_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    run_all(Recording(Scripted(lambda asked: "ok"), path), ["a"])
    path.write_bytes(path.read_bytes() + b'{"schema_version": 1, "mod')
    run_all(Recording(Scripted(lambda asked: "ok"), path), ["b"])
    assert len(run_all(Replaying(path, "scripted/model"), ["a", "b"])) == 2
