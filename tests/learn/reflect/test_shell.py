"""The reflector with a shell: what a model can read, how it ends, and whose fault it is where it does not."""

import asyncio
import json
import tempfile

import pytest

from cleartrace.agents.settings import CallStyle
from cleartrace.episodes.types import Failure, FailureKind
from cleartrace.learn.protocol import Signal
from cleartrace.learn.reflect import Features, ShellReflector
from cleartrace.learn.shell import Limits
from cleartrace.llm.protocol import (
    BudgetExhausted,
    Finish,
    LLMError,
    Malformed,
    Message,
    Refused,
    Rejected,
    Reply,
    Request,
    ServerError,
    ToolCall,
)
from cleartrace.llm.scripted import Scripted
from tests.learn.samples import FACTS, PLAYBOOK, run, signal, task

FOUND = json.dumps({"analysis": "It charged twice."})


@pytest.fixture(autouse=True)
def views(tmp_path, monkeypatch):
    """Where runs are laid out; nothing stays there, whatever happens."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def shell(*commands: str) -> Message:
    calls = tuple(ToolCall(id=str(n), name="shell", arguments={"command": one}) for n, one in enumerate(commands))
    return Message(role="assistant", calls=calls)


def reflect(llm, signals, features: Features | None = None, **settings):
    reflector = ShellReflector(llm, FACTS, features or Features(), **settings)
    return asyncio.run(reflector.reflect(signals, PLAYBOOK, 1))


def said(request: Request) -> list[str]:
    """What came back from the calls made last."""
    texts: list[str] = []
    for message in reversed(request.messages):
        if message.role != "tool":
            break
        texts.insert(0, message.content)
    return texts


def test_the_model_reads_the_runs_it_reflects_on_and_no_others():
    spoiled = run("t1", None, seed=5, result="canary", failure=Failure(kind=FailureKind.SANDBOX))
    one = Signal(task=task("t1"), episodes=(run("t1", 1.0), run("t1", 0.0, seed=1, result="charged 90"), spoiled))
    llm = Scripted([shell("ls", "grep -r 'charged 90' .", "grep -r canary .", "cat ../x"), FOUND])
    (found,) = reflect(llm, [one])
    listed, grepped, canary, outside = said(llm.requests[1])
    assert listed == "run-1/\nrun-2/" and "run-1/" in grepped and "run-2/" not in grepped
    assert canary == "(no match)" and "refused" in outside
    assert found.analysis == "It charged twice." and len(found.episodes) == 2


def test_a4_no_file_says_how_a_run_was_judged():
    judged = signal("t1", 0.25)
    llm = Scripted([shell("ls -R", "grep -r -i score .", "grep -r 'expected one charge' ."), FOUND])
    reflect(llm, [judged])
    listed, *greps = said(llm.requests[1])
    assert "outcomes" not in listed and greps == ["(no match)"] * 2
    assert "expected one charge" in llm.requests[0].messages[1].content


def test_every_call_of_the_shell_is_in_the_record():
    llm = Scripted([shell("ls", "rm -r ."), FOUND])
    (found,) = reflect(llm, [signal()])
    assert [(call.line, call.ended.value) for call in found.shell] == [("ls", "ok"), ("rm -r .", "refused")]
    both = json.dumps({"tasks": [{"task": n, "analysis": "x"} for n in (1, 2)], "patterns": "y"})
    first, *others = reflect(Scripted([shell("ls"), both]), [signal("t1"), signal("t2")], Features(batched=True))
    assert [len(one.shell) for one in (first, *others)] == [1, 0, 0]


def test_a_batch_is_laid_out_together_in_the_order_of_the_prompt():
    both = json.dumps({"tasks": [{"task": n, "analysis": "x"} for n in (1, 2)]})
    llm = Scripted([shell("grep -l 't2' run-1/view.md run-2/view.md run-3/view.md"), both])
    reflect(llm, [signal("t1", 1.0, 0.0), signal("t2")], Features(batched=True))
    assert said(llm.requests[1]) == ["run-3/view.md"]
    assert "# Task 2 of 2: t2" in llm.requests[0].messages[1].content.partition("run-2/")[2].partition("run-3/")[0]


def test_an_answer_that_cannot_be_read_is_asked_for_once_more():
    (found,) = reflect(Scripted(["It was careless.", FOUND]), [signal()])
    assert (found.analysis, found.error) == ("It charged twice.", "")
    llm = Scripted(["The agent was careless.", "I said: the agent was careless."])
    (found,) = reflect(llm, [signal()])
    assert found.analysis == "I said: the agent was careless." and "could not be read" in found.error
    assert "could not be used: there is no JSON object" in llm.requests[1].messages[-1].content


def test_a_correction_that_the_endpoint_does_not_take_leaves_the_answer():
    (found,) = reflect(Scripted(["It was careless.", Rejected("too long")]), [signal()])
    assert found.analysis == "It was careless." and "could not be read" in found.error


def test_words_before_more_reading_are_no_wrong_answer():
    (found,) = reflect(Scripted(["Let me look.", shell("ls"), "Aha.", FOUND]), [signal()])
    assert found.analysis == "It charged twice."


def test_a_model_without_calls_reads_in_text():
    block = '```tool\n{"name": "shell", "arguments": {"command": "ls"}}\n```'
    llm = Scripted([block, f"```json\n{FOUND}\n```"])
    (found,) = reflect(llm, [signal()], style=CallStyle.TEXT)
    assert found.analysis == "It charged twice." and [call.line for call in found.shell] == ["ls"]
    assert llm.requests[0].tools == ()


def test_a_model_that_never_answers_is_stopped_and_says_nothing():
    llm = Scripted(lambda request: shell("ls"))
    (found,) = reflect(llm, [signal()], limits=Limits(calls=3))
    assert (found.analysis, found.verdicts) == ("", ()) and "not done after 8 turns" in found.error
    assert len(llm.requests) == 8
    assert "all 3 calls are used; write your findings now" in said(llm.requests[4])[0]
    assert [call.ended.value for call in found.shell] == ["ok"] * 3 + ["spent"] * 5


def test_no_more_bytes_are_read_than_allowed():
    llm = Scripted([*[shell("cat run-1/view.md")] * 9, FOUND])
    (found,) = reflect(llm, [signal()], limits=Limits(call_bytes=300, total_bytes=500))
    assert 400 < sum(call.bytes for call in found.shell) <= 500 and len(found.shell) == 9


def test_a_reading_ends_at_its_limit_of_wall_time():
    async def slow(request: Request) -> str:
        await asyncio.sleep(30)
        return FOUND

    (found,) = reflect(Scripted(slow), [signal()], time_limit_s=0.2)
    assert found.analysis == "" and "there are no findings" in found.error and "wall time" in found.error


@pytest.mark.parametrize(
    "error", [ServerError("500"), Rejected("no key"), BudgetExhausted("calls of all roles: 2 of 2"), ValueError("odd")]
)
def test_what_an_endpoint_does_wrong_is_no_empty_reflection(error):
    def broken(request: Request):
        if len(request.messages) == 2:
            return shell("ls")
        if isinstance(error, LLMError):
            return error
        raise error

    with pytest.raises(type(error) if isinstance(error, LLMError) else LLMError, match=str(error)):
        reflect(Scripted(broken), [signal("t1"), signal("t2")])


def test_an_empty_answer_after_all_retries_is_one_that_cannot_be_read():
    (found,) = reflect(Scripted([shell("ls"), Malformed("an empty answer")]), [signal()])
    assert found.error == "the reply could not be read: an empty answer" and len(found.shell) == 1


FILTERED = Reply(message=Message(role="assistant", content="no"), finish=Finish.FILTERED)


@pytest.mark.parametrize("stopped", [Refused("no"), FILTERED])
def test_a_content_filter_on_the_batch_falls_back_to_one_reading_each(stopped):
    def filtered(request: Request):
        text = request.messages[1].content
        return stopped if "# Task 2" in text or "customer t1" in text else FOUND

    first, second = reflect(Scripted(filtered), [signal("t1"), signal("t2")], Features(batched=True))
    assert (first.task_ids, first.analysis) == (("t1",), "") and "content filter" in first.error
    assert (second.task_ids, second.analysis) == (("t2",), "It charged twice.")
