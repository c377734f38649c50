"""The reflector over a scripted model: modes, untrusted replies, refusals."""

import asyncio
import json
from itertools import product

import pytest

from cleartrace.episodes.types import Failure, FailureKind
from cleartrace.learn.protocol import FailureType, GapKind, RootCause, Signal, Tag
from cleartrace.learn.reflect import Features, LLMReflector, ShellReflector
from cleartrace.learn.reflect.prompt import PLAIN
from cleartrace.llm.protocol import Message, Refused, Request, Role, ServerError, ToolCall
from cleartrace.llm.scripted import Scripted
from tests.learn.samples import FACTS, PLAYBOOK, run, signal, task

FINDING = {
    "analysis": "It charged twice.",
    "verdicts": [{"entry_id": "[e2]", "tag": "harmful", "why": "step 2"}],
    "failure_type": "actionable_gap",
    "root_cause": "interference",
    "question": "e2 told it to",
    "gaps": [{"situation": "paying", "kind": "checklist"}],
}


def answer(request: Request) -> str:
    """What a model that follows the prompt writes, in any mode."""
    auxiliary = '"failure_type"' in request.messages[0].content
    keys = FINDING if auxiliary else ("analysis", "verdicts")
    finding = {key: FINDING[key] for key in keys}
    count = request.messages[1].content.count("# Task ")
    if count == 1:
        return json.dumps(finding)
    tasks = [{"task": n, **finding} for n in range(1, count + 1)]
    return (
        f"Findings [{count}] in {{JSON}}:\n```json\n{json.dumps({'patterns': 'It pays twice.', 'tasks': tasks})}\n```"
    )


def refusing(error, text):
    """A model that raises `error` for prompts about `text`."""
    return Scripted(lambda request: error if text in request.messages[1].content else answer(request))


def reflect(llm, signals, features=PLAIN, seed=1, kind=LLMReflector):
    return asyncio.run(kind(llm, FACTS, features).reflect(signals, PLAYBOOK, seed))


def reading(request: Request) -> str | Message:
    """The same model with a shell: it reads once before it answers."""
    if request.messages[-1].role == "tool":
        return answer(request)
    call = ToolCall(id="c1", name="shell", arguments={"command": "grep -r charge ."})
    return Message(role="assistant", calls=(call,))


@pytest.mark.parametrize("auxiliary, batched, dual, grouped, shell", list(product([False, True], repeat=5)))
def test_a13_every_mode_gives_the_same_schema(auxiliary, batched, dual, grouped, shell):
    signals = [signal(f"t{n}", *([0.0, 1.0] if grouped else [0.0]), probe=dual) for n in range(3)]
    llm = Scripted(reading if shell else answer)
    kind = ShellReflector if shell else LLMReflector
    found = reflect(llm, signals, Features(auxiliary=auxiliary, batched=batched, dual=dual), kind=kind)
    assert len(llm.requests) == (1 if batched else 3) * (1 + shell)
    assert {request.role for request in llm.requests} == {Role.REFLECTOR}
    each = found[:3]
    assert [one.task_ids for one in each] == [("t0",), ("t1",), ("t2",)]
    for one, source in zip(each, signals, strict=True):
        assert one.analysis == "It charged twice."
        assert [(verdict.entry_id, verdict.tag) for verdict in one.verdicts] == [("e2", Tag.HARMFUL)]
        assert one.failure_type == (FailureType.ACTIONABLE_GAP if auxiliary else None)
        assert one.root_cause == (RootCause.INTERFERENCE if auxiliary else None)
        assert [gap.kind for gap in one.gaps] == ([GapKind.CHECKLIST] if auxiliary else [])
        assert one.episodes == tuple(run.id for run in source.episodes)
        assert one.prompt_hash.startswith("reflect:")
    if batched:
        assert (found[3].task_ids, found[3].analysis) == (("t0", "t1", "t2"), "It pays twice.")


def test_a_batch_of_one_is_a_plain_call():
    llm = Scripted(answer)
    reflect(llm, [signal("t1")], Features(batched=True))
    assert "# Several tasks at once" not in llm.requests[0].messages[0].content


def test_a_reply_that_cannot_be_read_is_the_analysis_after_one_repair():
    llm = Scripted(["The agent was careless.", "I said: the agent was careless."])
    (found,) = reflect(llm, [signal()])
    assert (found.analysis, found.verdicts) == ("I said: the agent was careless.", ())
    assert "could not be read" in found.error
    assert len(llm.requests) == 2


@pytest.mark.parametrize(
    "verdict, reason",
    [
        ({"entry_id": "e1", "tag": "unclear"}, "the reply's schema"),
        ({"entry_id": "e1", "tag": None}, "the reply's schema"),
        ({"entry_id": ["e1"], "tag": "helpful"}, "the reply's schema"),
        ("e1 helpful", "the reply's schema"),
        ({"entry_id": "e9", "tag": "helpful"}, "no such entry"),
    ],
)
def test_s3_a_verdict_that_cannot_be_used_is_dropped_with_a_reason(verdict, reason):
    good = {"entry_id": "e2", "tag": "neutral"}
    (found,) = reflect(Scripted([json.dumps({"analysis": "x", "verdicts": [verdict, good]})]), [signal()])
    assert [one.entry_id for one in found.verdicts] == ["e2"]
    assert len(found.dropped) == 1 and reason in found.dropped[0].reason


@pytest.mark.parametrize("verdicts", [None, "none", {}, 3])
def test_s3_verdicts_of_a_wrong_type_cost_only_themselves(verdicts):
    (found,) = reflect(Scripted([json.dumps({"analysis": "x", "verdicts": verdicts})]), [signal()])
    assert (found.analysis, found.verdicts, len(found.dropped)) == ("x", (), 1)


def test_an_entry_gets_one_verdict_for_a_task():
    rows = [{"entry_id": "e1", "tag": "helpful"}, {"entry_id": "e1", "tag": "harmful"}]
    (found,) = reflect(Scripted([json.dumps({"analysis": "x", "verdicts": rows})]), [signal()])
    assert [one.tag for one in found.verdicts] == [Tag.HELPFUL]
    assert "already" in found.dropped[0].reason


def test_r8_an_entry_the_runs_did_not_see_as_it_reads_now_earns_nothing():
    shown = run(shown=(("e1", 3),))
    rows = [{"entry_id": "e1", "tag": "helpful"}, {"entry_id": "e2", "tag": "harmful"}]
    one = Signal(task=task(), episodes=(shown,))
    (found,) = reflect(Scripted([json.dumps({"analysis": "x", "verdicts": rows})]), [one])
    assert found.verdicts == ()
    assert [refusal.reason for refusal in found.dropped] == [
        "these runs saw revision 3, and the playbook holds 1",
        "the entry was in the context of none of these runs",
    ]


def test_invalid_auxiliary_fields_are_dropped_and_counted():
    reply = {**FINDING, "failure_type": "bad luck", "gaps": [{"situation": "a", "kind": "poem"}, {"kind": "checklist"}]}
    (found,) = reflect(Scripted([json.dumps(reply)]), [signal()], Features(auxiliary=True))
    assert found.failure_type is None and found.root_cause is RootCause.INTERFERENCE
    assert [gap.situation for gap in found.gaps] == ["a"]
    assert len(found.dropped) == 3


def test_a_content_filter_on_the_batch_falls_back_to_one_call_each():
    llm = refusing(Refused("no"), "# Task 2")
    found = reflect(llm, [signal("t1"), signal("t2")], Features(batched=True, auxiliary=True))
    assert [one.task_ids for one in found] == [("t1",), ("t2",)]
    assert len(llm.requests) == 3
    assert "# Attribution of the failure" in llm.requests[2].messages[0].content


def test_a_content_filter_on_one_task_leaves_the_others_their_findings():
    llm = refusing(Refused("no"), "customer t1")
    first, second = reflect(llm, [signal("t1"), signal("t2")])
    assert (first.analysis, first.verdicts) == ("", ()) and "content filter" in first.error
    assert second.analysis == "It charged twice."


def test_r26_another_error_is_raised_and_nothing_comes_back():
    llm = refusing(ServerError("500"), "customer t2")
    with pytest.raises(ServerError):
        reflect(llm, [signal("t1"), signal("t2"), signal("t3")])


def test_a_batched_reply_that_forgets_a_task_says_so():
    reply = {"tasks": [{"task": 2, **FINDING}, {"task": 7, **FINDING}]}
    found = reflect(Scripted([json.dumps(reply)]), [signal("t1"), signal("t2")], Features(batched=True))
    assert "says nothing" in found[0].error and found[1].analysis == "It charged twice."
    assert found[2].dropped[0].proposed == "tasks: there is no task 7"


def test_s8_a_signal_of_probe_runs_alone_is_skipped_with_a_reason():
    only_probe = Signal(task=task("t1"), episodes=(run("t1", 0.0, probe="full"),))
    llm = Scripted(answer)
    found = reflect(llm, [only_probe, signal("t2")])
    assert len(llm.requests) == 1
    assert [(one.task_ids, bool(one.error)) for one in found] == [(("t2",), False), (("t1",), True)]


def test_rule_3_runs_without_a_score_are_not_shown():
    spoiled = run("t1", None, seed=5, result="canary", failure=Failure(kind=FailureKind.SANDBOX))
    mixed = Signal(task=task("t1"), episodes=(run("t1", 0.0), spoiled))
    llm = Scripted(answer)
    (found,) = reflect(llm, [mixed])
    assert "canary" not in llm.requests[0].messages[1].content
    assert len(found.episodes) == 1


def test_s11_seeds_of_calls_derive_from_seed_and_task():
    def seeds(seed):
        llm = Scripted(answer)
        reflect(llm, [signal("t1"), signal("t2")], seed=seed)
        return [request.seed for request in llm.requests]

    assert seeds(1) == seeds(1) != seeds(2)
    assert len(set(seeds(1))) == 2


def test_s3_broken_tasks_of_a_batched_reply_are_counted():
    reply = {
        "patterns": None,
        "tasks": ["t1", {"task": 1, "analysis": ""}, {"task": 2, "analysis": "fine", "verdicts": 3}],
    }
    first, second, over = reflect(Scripted([json.dumps(reply)]), [signal("t1"), signal("t2")], Features(batched=True))
    assert "says nothing" in first.error
    assert (second.analysis, len(second.dropped)) == ("fine", 1)
    assert (over.analysis, len(over.dropped)) == ("", 3)


def test_half_a_character_in_a_reply_can_be_written_to_a_file():
    (found,) = reflect(Scripted(["careless \ud83d", "careless \ud83d"]), [signal()])
    assert found.analysis.encode("utf-8").decode() == "careless \ufffd"
