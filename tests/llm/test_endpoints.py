"""A7: the three dialects through their real clients, against loopback servers that keep the endpoints' rules."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from benchmarks.loopback import Answer, Asked, Loopback
from cleartrace.llm.connect import connect
from cleartrace.llm.ledger import Ledger
from cleartrace.llm.protocol import (
    Finish,
    Message,
    RateLimited,
    Refused,
    Rejected,
    Reply,
    Request,
    Role,
    Thinking,
    TimedOut,
    ToolSpec,
    Unreachable,
)
from tests.llm.dialects import CALLS, DIALECTS, Dialect

ASK = Request(role=Role.AGENT, messages=(Message(role="user", content="go"),))
TOOLS = (ToolSpec(name="look"), ToolSpec(name="write"))


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCL_LLM_RETRY_BASE_DELAY", "0.001")
    monkeypatch.setenv("RCL_LLM_RETRY_MAX_DELAY", "0.002")


def ask(
    dialect: Dialect, answers: Sequence[Answer], request: Request = ASK, ledger: Ledger | None = None, **options: Any
) -> tuple[Reply, list[Asked]]:
    left = iter(answers)
    with Loopback(lambda asked: next(left)) as server:

        async def run() -> Reply:
            llm = connect(dialect.spec(server.url), ledger=ledger, **options)
            try:
                return await llm.complete(request)
            finally:
                await llm.close()

        return asyncio.run(run()), server.asked


def test_a_text_comes_with_its_usage_and_its_model(dialect: Dialect) -> None:
    reply, asked = ask(dialect, [Answer(dialect.text("done ✓"))])
    assert (reply.text, reply.finish, reply.model) == ("done ✓", Finish.STOP, "small-1")
    usage = reply.usage
    assert (usage.calls, usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (1, 10, 6, 4)
    assert asked[0].path.endswith(dialect.path)


def test_this_machine_is_asked_without_a_proxy(dialect: Dialect, proxy: Loopback) -> None:
    reply, _ = ask(dialect, [Answer(dialect.text("ok"))])
    assert reply.text == "ok" and not proxy.asked


def test_r25_parallel_calls_and_thoughts_go_back_as_they_came(dialect: Dialect) -> None:
    """R25: 3 parallel calls have 3 results in order, thoughts keep their signatures, no tool choice is forced."""

    def script(asked: Asked) -> Answer:
        if len(server.asked) == 1:
            return Answer(dialect.calls())
        refusal = dialect.breaks_the_rules(asked)
        return Answer({"error": {"message": refusal}}, 400) if refusal else Answer(dialect.text("all three"))

    async def run() -> None:
        llm = connect(dialect.spec(server.url))
        request = ASK.model_copy(update={"tools": TOOLS, "thinking": Thinking.HIGH})
        first = await llm.complete(request)
        assert first.finish is Finish.CALLS and first.text == "Looking." and first.message.thought == "hm"
        assert [(call.name, call.arguments) for call in first.message.calls] == list(CALLS)
        assert len({call.id for call in first.message.calls}) == 3
        stored = Reply.model_validate_json(first.model_dump_json())  # a cache or a recording lies in between
        results = [
            Message(role="tool", content=f"result {i}", call_id=call.id) for i, call in enumerate(stored.message.calls)
        ]
        again = request.model_copy(update={"messages": (*request.messages, stored.message, *results)})
        assert (await llm.complete(again)).text == "all three"
        await llm.close()

    with Loopback(script) as server:
        asyncio.run(run())


def test_a_history_of_another_dialect_is_said_anew(dialect: Dialect) -> None:
    reply, _ = ask(dialect, [Answer(dialect.calls())])
    foreign = reply.message.model_copy(update={"native": {"other": ["nothing this endpoint knows"]}})
    result = Message(role="tool", content="ok", call_id=foreign.calls[0].id, is_error=True)
    request = ASK.model_copy(update={"messages": (*ASK.messages, foreign, result)})
    _, asked = ask(dialect, [Answer(dialect.text("fine"))], request)
    assert "Looking." in str(asked[0].body) and "nothing this endpoint knows" not in str(asked[0].body)


def test_an_empty_answer_is_asked_again_and_its_tokens_count(dialect: Dialect) -> None:
    ledger = Ledger()
    reply, asked = ask(dialect, [Answer(dialect.text("")), Answer(dialect.text("now"))], ledger=ledger)
    assert reply.text == "now" and len(asked) == 2
    assert ledger.of(Role.AGENT).errors == {"Malformed": 1}
    assert ledger.total.tokens == 28


def test_a_truncated_answer_is_a_reply_that_says_so(dialect: Dialect) -> None:
    for text in ("half an ans", ""):
        reply, asked = ask(dialect, [Answer(dialect.cut(text))])
        assert (reply.finish, reply.text, len(asked)) == (Finish.LENGTH, text, 1)


def test_a_content_filter_is_refused_once_and_counted(dialect: Dialect) -> None:
    ledger = Ledger()
    with pytest.raises(Refused):
        ask(dialect, [Answer(dialect.refused())], ledger=ledger)
    assert ledger.total.errors == {"Refused": 1} and ledger.total.tokens == 14


def test_a_passing_status_is_tried_again(dialect: Dialect) -> None:
    statuses = [408, 409, 425, 429, 500, 502, 503, 504, 529]
    pages = [Answer(b"<html>try later</html>", status, {"content-type": "text/html"}) for status in statuses]
    ledger = Ledger()
    reply, asked = ask(dialect, [*pages, Answer(dialect.text("up"))], ledger=ledger, retries=len(pages) + 1)
    assert reply.text == "up" and len(asked) == len(pages) + 1
    assert ledger.total.errors == {"RateLimited": 1, "ServerError": 7, "TimedOut": 1}
    assert (ledger.total.calls, ledger.total.retries) == (1, len(pages))


def test_any_other_status_is_final(dialect: Dialect) -> None:
    for status in (400, 401, 404, 422):
        with pytest.raises(Rejected, match=f"HTTP {status}"):
            ask(dialect, [Answer({"error": {"message": "no"}}, status)])


def test_retries_go_by_the_code_and_never_by_the_text(dialect: Dialect) -> None:
    said = {"error": {"message": "429 Too Many Requests: 503, overloaded, rate limit", "code": 429}}
    ledger = Ledger()
    with pytest.raises(Rejected, match="HTTP 400"):
        ask(dialect, [Answer(said, 400)], ledger=ledger)
    assert ledger.total.attempts == 1


def test_retry_after_is_waited_for_and_a_long_one_is_not(dialect: Dialect) -> None:
    answers = [Answer({}, 429, {"Retry-After": "0.3"}), Answer(dialect.text("up"))]
    loop = asyncio.new_event_loop()
    began = loop.time()
    assert ask(dialect, answers)[0].text == "up"
    assert loop.time() - began >= 0.3
    loop.close()
    with pytest.raises(RateLimited) as caught:
        ask(dialect, [Answer({}, 429, {"Retry-After": "9999"})])
    assert caught.value.wait_s == 9999


def test_a_broken_body_is_malformed_and_tried_again(dialect: Dialect) -> None:
    bodies = [b"", b"not JSON", b'{"choices": [', b"[1]", b'{"choices": [], "candidates": []}', b"\xff{", b"[" * 9999]
    ledger = Ledger()
    answers = [*map(Answer, bodies), Answer(dialect.text("up"))]
    reply, _ = ask(dialect, answers, ledger=ledger, retries=len(answers))
    assert reply.text == "up" and ledger.total.errors == {"Malformed": len(bodies)}


def test_a_dropped_connection_is_unreachable_and_tried_again(dialect: Dialect) -> None:
    ledger = Ledger()
    answers = [Answer(dialect.text("lost"), drop=share) for share in (0.0, 0.5)]
    reply, _ = ask(dialect, [*answers, Answer(dialect.text("up"))], ledger=ledger)
    assert reply.text == "up" and ledger.total.errors == {"Unreachable": 2}


def test_nobody_listening_is_unreachable(dialect: Dialect) -> None:
    with Loopback(lambda asked: Answer()) as server:
        url = server.url
    with pytest.raises(Unreachable):
        asyncio.run(connect(dialect.spec(url), retries=2).complete(ASK))


def test_one_limit_of_time_holds_for_the_whole_answer(dialect: Dialect) -> None:
    with pytest.raises(TimedOut):
        ask(dialect, [Answer(dialect.text("late"), delay_s=5)], timeout_s=0.2, retries=1)


def test_half_a_character_is_sent_and_read_as_text(dialect: Dialect) -> None:
    request = ASK.model_copy(update={"messages": (Message(role="user", content="a\ud83d"),)})
    reply, _ = ask(dialect, [Answer(dialect.text("b\ud83d"))], request)
    assert reply.text == "b\ufffd"
    assert reply.canonical().encode("utf-8")


def test_the_schema_travels_in_the_structured_mode_or_in_the_prompt(dialect: Dialect) -> None:
    schema = {"type": "object", "properties": {"cause": {"type": "string"}}, "required": ["cause"]}
    request = ASK.model_copy(update={"schema_": schema})
    answer = [Answer(dialect.text('{"cause": "x"}'))]
    native = ask(dialect, answer, request)[1][0].body
    prompted = ask(dialect, answer, request, schema_mode="prompt")[1][0].body
    field = {"openai": "response_format", "anthropic": "output_config", "google": "generationConfig"}[dialect.provider]
    assert "cause" in str(native[field]) and "JSON schema" not in str(native.get("messages", native.get("contents")))
    assert "cause" not in str(prompted.get(field))
    assert "JSON schema" in str(prompted.get("messages", prompted.get("contents")))


def test_one_model_serves_several_event_loops(dialect: Dialect) -> None:
    with Loopback(lambda asked: Answer(dialect.text("again"))) as server:
        llm = connect(dialect.spec(server.url))

        async def run() -> str:
            replies = await asyncio.gather(*(llm.complete(ASK) for _ in range(3)))
            await llm.close()
            return replies[0].text

        assert [asyncio.run(run()) for _ in range(2)] == ["again", "again"]


def test_extra_fields_reach_the_endpoint(dialect: Dialect) -> None:
    _, asked = ask(dialect, [Answer(dialect.text("x"))], extra={"top_k": 7})
    assert asked[0].body["top_k"] == 7


@pytest.mark.parametrize(
    ("raw", "arguments"),
    [('{"a": 1', None), ("[1]", None), ("", {}), ('{"a": "x\ny"}', {"a": "x\ny"}), ({"a": 1}, {"a": 1})],
)
def test_malformed_arguments_of_a_call_are_kept_raw_and_sent_back_as_an_object(raw: Any, arguments: Any) -> None:
    dialect = DIALECTS["openai"]
    body = dialect.calls()
    body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = raw
    reply, _ = ask(dialect, [Answer(body)])
    call = reply.message.calls[0]
    assert call.arguments == arguments and (call.raw == raw or isinstance(raw, dict))
    request = ASK.model_copy(update={"messages": (*ASK.messages, reply.message)})
    sent = ask(dialect, [Answer(dialect.text("ok"))], request)[1][0].body["messages"][1]["tool_calls"]
    assert len(sent) == 3
    if arguments is None:
        assert json.loads(sent[0]["function"]["arguments"]) == {"malformed": raw}


def test_a_gateway_that_says_200_and_an_error_is_read_by_its_code() -> None:
    dialect = DIALECTS["openai"]
    answers = [Answer({"error": {"code": 502, "message": "upstream"}}), Answer(dialect.text("up"))]
    assert ask(dialect, answers)[0].text == "up"
    with pytest.raises(Rejected):
        ask(dialect, [Answer({"error": {"code": "insufficient_quota", "message": "pay"}}, 429)])
    with pytest.raises(Refused):
        ask(dialect, [Answer({"error": {"code": "content_filter", "message": "no"}}, 400)])
