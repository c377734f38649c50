"""BrowseComp-Plus against a retrieval service on the loopback (A31) and a scripted judge (R28)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cleartrace.environments.browsecomp import BrowseComp
from cleartrace.environments.browsecomp.judge import JudgeFailed, judge, read
from cleartrace.environments.host import Host
from cleartrace.environments.protocol import Action, EnvironmentFault, Observation
from cleartrace.episodes.types import FailureKind, Outcome
from cleartrace.llm.protocol import BudgetExhausted, Message, Reply, Request, Role, ToolCall, Unreachable
from tests.environments.browsecomp.service import CANARY, Service

SECRET = "Tromso-by-the-sea"


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.stop()


@pytest.fixture
def questions(tmp_path: Path) -> str:
    rows = [
        {
            "query_id": number,
            "query": "Where was the builder of the lighthouse born?",
            "answer": SECRET,
            "gold_docs": [{"docid": "d2", "text": CANARY}],
            "evidence_docs": [{"docid": "d1", "text": CANARY}, {"docid": "d2", "text": CANARY}],
            "negative_docs": [{"docid": "d3", "text": CANARY}],
        }
        for number in range(4)
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def strict(messages: Sequence[Message]) -> str:
    """Judges by the last line of the response, as told."""
    response = messages[-1].content.split("<response>\n")[1]
    return f'I compared. {{"final_answer": "said", "correct": {str(SECRET in response).lower()}}}'


def bench(questions: str, service: Service, mcp: bool = True, **options: object) -> BrowseComp:
    url = f"{service.url}/mcp" if mcp else service.url
    return BrowseComp(**{"questions": questions, "url": url, "mcp": mcp, "complete": strict, "call_s": 1.0, **options})


def call(name: str, **arguments: object) -> Action:
    return Action(calls=(ToolCall(id="1", name=name, arguments=dict(arguments)),))


@pytest.mark.parametrize("kind", ["http", "mcp", "mcp-json"])
def test_search_read_answer(questions: str, service: Service, kind: str) -> None:
    service.mode = "json" if kind == "mcp-json" else ""
    session = bench(questions, service, mcp=kind != "http").session("0", 1)
    assert session.start().text.startswith("Where was")
    found = session.act(call("search", query="lighthouse")).results[0].text  # one hit
    assert found.startswith("[d1]\nThe lighthouse was built")
    assert session.act(call("search", query="zeppelin")).results[0].text == "No document was found."
    assert "born in Tromso" in session.act(call("get_document", docid="d2")).results[0].text
    missing = session.act(call("get_document", docid="d9")).results[0]
    assert missing.is_error and "no such document" in missing.text
    assert session.act(Action(text=f"It was there.\nAnswer: {SECRET}")).done
    outcome = session.outcome()
    assert outcome.passed and outcome.details == {"searches": 2, "documents_read": 1, "recall": 1.0}
    session.close()
    session.close()
    assert service.open == set()  # R23


def test_gold_is_judged_right_and_an_empty_agent_is_not(questions: str, service: Service) -> None:
    env = bench(questions, service)
    session = env.session("1", 0)
    session.start()
    assert session.outcome().score == 0.0
    for action in env.gold("1", 0):
        session.act(action)
    assert session.outcome().passed
    wrong = env.session("1", 0)
    wrong.act(Action(text="Answer: Bergen"))
    assert wrong.outcome().score == 0.0 and wrong.outcome().failure is None


def test_a4_gold_documents_and_markers_never_reach_the_agent(questions: str, service: Service) -> None:
    env = bench(questions, service)
    session = env.session("0", 0)
    seen: list[Observation] = [
        session.start(),
        session.act(call("search", query="ida holm words")),
        session.act(call("get_document", docid="d2")),
        session.act(Action(text=f"Answer: {SECRET}")),
    ]
    text = "".join(part.model_dump_json() for part in [*seen, *env.tasks()])
    assert CANARY not in text and SECRET not in text
    assert CANARY not in session.outcome().model_dump_json()


def test_the_expected_answer_is_in_no_outcome(questions: str, service: Service) -> None:
    session = bench(questions, service).session("0", 0)
    session.act(Action(text="Answer: Bergen"))
    assert SECRET not in session.outcome().model_dump_json()


@pytest.mark.parametrize("mode", ["500", "hang", "garbage"])
@pytest.mark.parametrize("mcp", [True, False])
def test_a31_a_broken_service_is_nobodys_score(questions: str, service: Service, mode: str, mcp: bool) -> None:
    session = bench(questions, service, mcp=mcp, call_s=0.3).session("0", 0)
    session.start()
    service.mode = mode
    with pytest.raises(EnvironmentFault):
        session.act(call("search", query="lighthouse"))
    session.close()


def test_a31_a_service_that_is_gone_is_nobodys_score(questions: str, service: Service) -> None:
    env = bench(questions, service, url="http://127.0.0.1:9/mcp")
    with pytest.raises(EnvironmentFault, match="retrieval service at"):
        env.session("0", 0).act(call("search", query="lighthouse"))


@pytest.mark.parametrize(
    "action", [call("search"), call("search", query=" "), call("get_document", docid=3), call("open", docid="d1")]
)
def test_wrong_calls_are_told(questions: str, service: Service, action: Action) -> None:
    result = bench(questions, service).session("0", 0).act(action).results[0]
    assert result.is_error and "Call search" in result.text and service.calls == []


def test_long_documents_are_cut(questions: str, service: Service) -> None:
    session = bench(questions, service, document_chars=20).session("0", 0)
    text = session.act(call("get_document", docid="d3")).results[0].text
    assert text.endswith("[150 more characters were cut]")


def answered(env: BrowseComp) -> Outcome:
    session = env.session("0", 0)
    session.act(Action(text=f"Answer: {SECRET}"))
    return session.outcome()


def down(_: Sequence[Message]) -> str:
    raise Unreachable("connection refused")


def test_r28_a_judge_that_is_down_is_no_score_and_no_exact_match(questions: str, service: Service) -> None:
    for complete, words in ((down, "connection refused"), (lambda _: "Yes, surely.", "no verdict in 2 replies")):
        outcome = answered(bench(questions, service, complete=complete))
        assert outcome.score is None and outcome.failure is not None
        assert outcome.failure.kind is FailureKind.JUDGE and words in outcome.failure.message
    with pytest.raises(EnvironmentFault, match="no judge"):
        answered(bench(questions, service, complete=None))


def test_a_verdict_is_read_with_care_and_a_second_reply_may_bring_it() -> None:
    assert read('{"correct": "yes"} {"correct": true, "final_answer": "x"}') is not None
    assert read("correct: yes") is None and read('{"correct": 1}') is None
    replies = iter(["hm", '{"correct": false}'])
    assert not judge(lambda _: next(replies), "q", "a", "r").correct
    with pytest.raises(JudgeFailed):
        judge(down, "q", "a", "r")


def test_an_exhausted_budget_passes_through_the_judge() -> None:
    def empty(_: Sequence[Message]) -> str:
        raise BudgetExhausted("10 calls")

    with pytest.raises(BudgetExhausted):
        judge(empty, "q", "a", "r")


class Judge:
    """An endpoint for a host."""

    model = "judge"

    def __init__(self, fails: bool) -> None:
        self.fails = fails
        self.roles: list[Role] = []

    async def complete(self, request: Request) -> Reply:
        self.roles.append(request.role)
        if self.fails:
            raise Unreachable("connection refused")
        return Reply(message=Message(role="assistant", content=strict(request.messages)))

    async def close(self) -> None: ...


def test_r28_through_a_host_the_judge_has_its_own_role_and_failure(questions: str, service: Service) -> None:
    options = {"questions": questions, "url": f"{service.url}/mcp"}
    target = "cleartrace.environments.browsecomp:BrowseComp"

    async def run(llm: Judge) -> Outcome:
        async with Host(target, options, user=llm) as host, host.session("0", 0) as session:
            await session.start()
            await session.act(Action(text=f"Answer: {SECRET}"))
            return await session.outcome()

    working, broken = Judge(fails=False), Judge(fails=True)
    assert asyncio.run(run(working)).passed and working.roles == [Role.JUDGE]
    outcome = asyncio.run(run(broken))
    assert outcome.score is None and outcome.failure is not None and outcome.failure.kind is FailureKind.JUDGE


def test_splits_are_lists_of_ids_or_a_hash(questions: str, service: Service, tmp_path: Path) -> None:
    assert {task.split for task in bench(questions, service).tasks()} <= {"train", "validation", "test"}
    path = tmp_path / "splits.json"
    path.write_text('{"train": [0, 1], "test": ["3"]}')
    env = bench(questions, service, splits=str(path))
    assert [task.id for task in env.tasks("train")] == ["0", "1"] and len(env.tasks()) == 3
    with pytest.raises(ValueError, match="no question '2'"):
        env.session("2", 0)
    for text, words in (('{"a": [9]}', "no question '9'"), ('{"a": [1], "b": [1]}', "two places"), ("[", "id lists")):
        path.write_text(text)
        with pytest.raises(ValueError, match=words):
            bench(questions, service, splits=str(path))


def test_wrong_lines_are_named(tmp_path: Path, service: Service) -> None:
    path = tmp_path / "q.jsonl"
    for text, words in (('{"query_id": 1, "query": "x"}', "line 1: answer"), ("", "no questions")):
        path.write_text(text)
        with pytest.raises(ValueError, match=words):
            bench(str(path), service)
    with pytest.raises(ValueError, match="your decrypted questions"):
        bench(str(tmp_path / "none.jsonl"), service)
