import asyncio

import pytest
from pydantic import BaseModel, Field

from cleartrace.llm.protocol import Finish, Malformed, Message, Refused, Rejected, Reply, Request, Role, ToolCall
from cleartrace.llm.scripted import Scripted
from cleartrace.llm.structured import Problem, complete_structured, parse_structured


class Finding(BaseModel):
    cause: str
    score: float = Field(ge=0, le=1)


ASK = Request(role=Role.REFLECTOR, messages=(Message(role="user", content="why?"),))
GOOD = '{"cause": "no rule", "score": 0.5}'


def ask(llm: Scripted, **options):
    return asyncio.run(complete_structured(llm, ASK, Finding, **options))


def test_a_good_answer_costs_one_call_and_carries_the_schema() -> None:
    llm = Scripted([GOOD])
    found = ask(llm)
    assert found.ok and found.value == Finding(cause="no rule", score=0.5)
    assert llm.requests[0].schema_ == Finding.model_json_schema()
    assert found.usage.calls == 1


def test_r14_the_schema_decides_between_candidates() -> None:
    text = f'see [abc] and {{x}}: {{"cause": 3}} {GOOD} and {{"note": "n"}}'
    assert parse_structured(text, Finding).value == Finding(cause="no rule", score=0.5)


def test_one_repair_is_shown_the_answer_and_its_error() -> None:
    llm = Scripted(['{"cause": "x", "score": 7}', GOOD])
    found = ask(llm)
    assert found.ok and len(found.replies) == 2
    answer, complaint = llm.requests[1].messages[-2:]
    assert answer.content == '{"cause": "x", "score": 7}'
    assert "score" in complaint.content and "less than or equal to 1" in complaint.content


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("no idea", Problem.NO_JSON),
        ("[]", Problem.SCHEMA),
        ('{"cause": null, "score": 0}', Problem.SCHEMA),
        (Malformed("empty answer"), Problem.EMPTY),
        (Reply(message=Message(role="assistant", content='{"cause": "lo'), finish=Finish.LENGTH), Problem.TRUNCATED),
    ],
)
def test_bad_output_ends_in_a_typed_failure_and_never_raises(answer, problem) -> None:
    found = ask(Scripted(lambda request: answer))
    assert not found.ok and found.problem is problem and found.error


def test_repairs_can_be_switched_off_and_calls_are_not_sent_back_unanswered() -> None:
    assert len(ask(Scripted(["?", GOOD]), repairs=0).replies) == 1
    call = ToolCall(id="1", name="f", arguments={}, raw="{}")
    llm = Scripted([Message(role="assistant", content="?", calls=(call,)), GOOD])
    assert ask(llm).ok
    assert not any(message.calls for message in llm.requests[1].messages)


def test_a_refusal_is_not_bad_output() -> None:
    with pytest.raises(Refused):
        ask(Scripted([Refused("policy")]))


def test_a_repair_that_the_endpoint_rejects_leaves_the_first_failure() -> None:
    """A long bad answer and its repair may be more than a small model's context holds."""
    found = ask(Scripted(["no JSON here", Rejected("prompt has 5690 tokens")]))
    assert not found.ok and found.problem is Problem.NO_JSON and len(found.replies) == 1
    with pytest.raises(Rejected):
        ask(Scripted([Rejected("wrong key")]))
