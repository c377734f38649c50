"""OpenAI's own clients with context, against an endpoint on loopback."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.loopback import Loopback
from cleartrace.context.middleware import Briefing, with_context
from cleartrace.context.providers import Empty, Model, SolvedAlone, Static
from cleartrace.context.providers.abstaining import Abstaining
from cleartrace.episodes.types import Context, Task
from cleartrace.llm.protocol import Request, ServerError
from cleartrace.llm.scripted import Scripted

openai = pytest.importorskip("openai")
HELLO = [{"role": "user", "content": "Book a table."}]


def client(endpoint: Loopback, **options):
    return openai.OpenAI(api_key="k", base_url=f"{endpoint.url}/v1", max_retries=0, **options)


def later(endpoint: Loopback):
    return openai.AsyncOpenAI(api_key="k", base_url=f"{endpoint.url}/v1", max_retries=0)


def writer() -> Model:
    def script(request: Request) -> str:
        return f"Guidance for: {request.messages[-1].content[-30:]}"

    return Model(Scripted(script))


def test_every_turn_of_a_conversation_has_the_context_that_was_made_once(endpoint):
    model = writer()
    wrapped = with_context(client(endpoint), model, environment="office")
    history = list(HELLO)
    for _ in range(3):
        said = wrapped.chat.completions.create(model="m", messages=history, tools=[], temperature=0.5)
        history += [
            {"role": "assistant", "content": said.choices[0].message.content},
            {"role": "user", "content": "Go on."},
        ]
    sent = [asked.body["messages"] for asked in endpoint.asked]
    (added,) = wrapped.briefing.added
    assert "Book a table." in added.context.text and added.task.environment == "office"
    for number, messages in enumerate(sent):
        assert messages[0] == {"role": "system", "content": added.context.text}
        assert messages[1:] == history[: 2 * number + 1], "later turns are as the caller wrote them"
    assert len(model.llm.requests) == 1
    assert "Environment: office" in model.llm.requests[0].messages[-1].content


def test_all_ways_of_asking_go_through_it(endpoint):
    wrapped = with_context(client(endpoint), Static("ADVICE"))
    wrapped.with_options(timeout=5).chat.completions.create(model="m", messages=HELLO)
    assert wrapped.chat.completions.with_raw_response.create(model="m", messages=HELLO).status_code == 200
    with wrapped.chat.completions.stream(model="m", messages=HELLO) as stream:
        assert stream.get_final_completion().choices[0].message.content == "Paid"
    words = [
        chunk.choices[0].delta.content
        for chunk in wrapped.chat.completions.create(model="m", messages=HELLO, stream=True)
    ]
    assert words == ["Pa", "id"]
    assert wrapped.responses.create(model="m", input="Book a table.", instructions="Be kind.").output_text == "done"
    wrapped.models.list()
    told = [
        asked.body[name][0] for asked in endpoint.asked[:-1] for name in ("messages", "input") if name in asked.body
    ]
    assert told == [{"role": "system", "content": "ADVICE"}] * 5
    assert endpoint.asked[4].body["instructions"] == "Be kind." and endpoint.asked[-1].path == "/v1/models"


def test_a_continued_response_is_a_later_turn(endpoint):
    wrapped = with_context(client(endpoint), Static("ADVICE"))
    wrapped.responses.create(model="m", input="Thanks.", previous_response_id="r1")
    assert endpoint.asked[0].body["input"] == "Thanks." and wrapped.briefing.added == []


def test_the_client_that_was_given_is_left_as_it_was(endpoint):
    plain = client(endpoint)
    wrapped = with_context(plain, Static("ADVICE"))
    plain.chat.completions.create(model="m", messages=HELLO)
    assert endpoint.asked[0].body["messages"] == HELLO
    assert isinstance(wrapped, openai.OpenAI) and not hasattr(plain, "briefing")
    with pytest.raises(TypeError, match="OpenAI or AsyncOpenAI"):
        with_context(object(), Static("x"))  # type: ignore[type-var]


def test_asynchronous_conversations_at_once_ask_the_model_once_each(endpoint):
    model = writer()
    wrapped = with_context(later(endpoint), model)

    async def talk():
        texts = ["one", "two"] * 4
        await asyncio.gather(
            *(
                wrapped.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
                for text in texts
            )
        )

    asyncio.run(talk())
    assert len(model.llm.requests) == 2 and len(wrapped.briefing.added) == 2
    assert all(asked.body["messages"][0]["role"] == "system" for asked in endpoint.asked)


def test_a_synchronous_client_works_inside_a_running_loop(endpoint):
    wrapped = with_context(client(endpoint), writer())

    async def inside():
        return wrapped.chat.completions.create(model="m", messages=HELLO)

    assert asyncio.run(inside()).choices[0].message.content == "done"
    assert endpoint.asked[0].body["messages"][0]["role"] == "system"


def test_an_abstaining_provider_changes_nothing(endpoint):
    rule = SolvedAlone({"t": 1.0})
    briefing = Briefing(
        Abstaining(Static("ADVICE"), rule), make_task=lambda text: Task(environment="e", id="t", input=text)
    )
    for provider in (Empty(), briefing):
        wrapped = with_context(client(endpoint), provider)
        wrapped.chat.completions.create(model="m", messages=HELLO)
        assert endpoint.asked[-1].body["messages"] == HELLO
        assert wrapped.briefing.added[0].context.abstained


class Broken:
    hash = "broken"
    asked = 0

    async def context_for(self, task: Task, seed: int) -> Context:
        self.asked += 1
        raise ServerError("down")


def test_a_provider_that_fails_is_an_error_or_is_noted_once(endpoint):
    with pytest.raises(ServerError, match="down"):
        with_context(client(endpoint), Broken()).chat.completions.create(model="m", messages=HELLO)
    assert endpoint.asked == []
    broken = Broken()
    wrapped = with_context(client(endpoint), Briefing(broken, required=False))
    for _ in range(2):
        wrapped.chat.completions.create(model="m", messages=HELLO)
    assert [asked.body["messages"] for asked in endpoint.asked] == [HELLO, HELLO]
    assert broken.asked == 1, "a conversation that began without context stays without"
    assert wrapped.briefing.added[0].failure == "ServerError: down"
