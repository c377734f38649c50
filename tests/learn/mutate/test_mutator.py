"""The mutator over a scripted model: what it is offered, what becomes of its reply (A15, S3, S4)."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.ops import Op
from cleartrace.context.playbook.rules import Rules
from cleartrace.learn.facts import Facts
from cleartrace.learn.mutate import LLMMutator, Options, Runs, ScriptedMutator, Summariser
from cleartrace.learn.mutate.mutator import read_proposal
from cleartrace.learn.mutate.prompt import DEFAULTS
from cleartrace.learn.protocol import EntryVerdict, FailureType, Reflection, Tag
from cleartrace.learn.reflect.reply import nothing
from cleartrace.llm.protocol import Finish, Malformed, Message, RateLimited, Refused, Reply, Role
from cleartrace.llm.scripted import Scripted
from tests.learn.samples import FACTS, PLAYBOOK, signal

VERDICT = EntryVerdict(entry_id="e2", tag=Tag.HARMFUL, why="step 2")
TOLD = Reflection(task_ids=("t1",), episodes=(), analysis="It charged twice.", verdicts=(VERDICT,))
NONE = json.dumps({"mutation_summary": "nothing", "operations": []})
ALL = tuple(Op)


def propose(llm, options=DEFAULTS, reflections=(TOLD,), memory="", signals=None, facts=FACTS, **more):
    mutator = LLMMutator(llm, facts, options, **more)
    return asyncio.run(mutator.propose(PLAYBOOK, signals or [signal("t1")], list(reflections), memory, 1))


def system(options=DEFAULTS, memory="", facts=FACTS):
    llm = Scripted([NONE])
    propose(llm, options, memory=memory, facts=facts)
    return llm.requests[0].messages[0].content


def reply(*operations, **more):
    return json.dumps({"mutation_summary": "one edit", "operations": list(operations), **more})


UPDATE = {"op": "UPDATE", "entry_id": "e2", "content": "Charge once; look for a receipt.", "rationale": "t1"}


def test_an_edit_is_read_with_its_provenance():
    llm = Scripted([reply(UPDATE)])
    found = propose(llm)
    assert [(one.op, one.entry_ids, one.source_tasks) for one in found.operations] == [(Op.UPDATE, ("e2",), ("t1",))]
    assert (found.summary, found.refused, found.error) == ("one edit", (), "")
    assert found.prompt_hash.startswith("mutate:")
    assert llm.requests[0].role is Role.MUTATOR and len(llm.requests) == 1


@pytest.mark.parametrize("given, kept", [(None, ("t1", "t2")), ([], ()), (["t2", "t9"], ("t2",)), (["t9"], ())])
def test_source_tasks_are_those_reflected_on(given, kept):
    operation = UPDATE if given is None else {**UPDATE, "source_tasks": given}
    other = TOLD.model_copy(update={"task_ids": ("t2",)})
    silent = nothing([signal("t9")], "a content filter")
    signals = [signal("t1"), signal("t2"), signal("t9")]
    found = propose(Scripted([reply(operation)]), reflections=(TOLD, other, silent), signals=signals)
    assert found.operations[0].source_tasks == kept


def test_the_prompt_has_counts_marks_scores_and_says_who_knows_what():
    llm = Scripted([NONE])
    propose(llm, signals=[signal("t1", 0.67)])
    first, second = (message.content for message in llm.requests[0].messages)
    assert "- [e2] (+0 -3) Charge twice to be sure. *" in second
    assert "- [e1] (+4 -1) Read the total before charging.\n" in second
    assert "score: 67 %" in second and "It charged twice." in second
    assert "The agent will have none of it" in first


@pytest.mark.parametrize(
    "options, offered",
    [
        (DEFAULTS, {"ADD", "UPDATE", "DELETE"}),
        (Options(operations=ALL), {"ADD", "UPDATE", "DELETE", "MERGE", "SPLIT"}),
        (Options(operations=(Op.ADD,)), {"ADD"}),
    ],
)
def test_operations_are_on_offer_only_when_enabled(options, offered):
    llm = Scripted([reply(*({"op": op.value, "entry_id": "e1", "content": "A long enough text."} for op in ALL))])
    found = propose(llm, options)
    text = llm.requests[0].messages[0].content
    for op in ALL:
        assert (f"- `{op.value}`:" in text) is (op.value in offered)
    schema = llm.requests[0].schema_
    assert schema is not None
    assert set(schema["properties"]["operations"]["items"]["properties"]["op"]["enum"]) == offered
    assert {one.op.value for one in found.operations} == offered
    assert len(found.operations) + len(found.refused) == len(ALL)
    assert all("not on offer" in one.reason for one in found.refused)


PARTS = {
    "auxiliary": ("# How to use the attributions", Options(auxiliary=True), ""),
    "memory": ("# How to use the memory", DEFAULTS, "Iteration 3 helped."),
    "cap": ("At most 300 characters", Options(entry_cap=300), ""),
    "add_only": ("existing entries stay as they are", Options(operations=(Op.ADD,)), ""),
}


@pytest.mark.parametrize("name", PARTS)
def test_r10_each_part_is_there_once_exactly_when_it_is_on(name):
    heading, options, memory = PARTS[name]
    assert system(options, memory).count(heading) == 1
    assert heading not in system()


def test_r11_two_proposals_ask_the_same():
    llm = Scripted([NONE, NONE])
    mutator = LLMMutator(llm, FACTS, Options(auxiliary=True))
    for _ in range(2):
        asyncio.run(mutator.propose(PLAYBOOK, [signal("t1")], [TOLD], "memory", 1))
    assert llm.requests[0] == llm.requests[1]


def test_r15_braces_in_a_section_do_not_break_the_prompt():
    odd = "{amount} {{ total }} {% if %}"
    facts = Facts("shop", "Sells.", {"pay": odd})
    assert odd in system(facts=facts)
    llm = Scripted([NONE])
    propose(llm, facts=facts, memory=odd, reflections=(TOLD.model_copy(update={"analysis": odd}),))
    assert llm.requests[0].messages[1].content.count(odd) == 2


@pytest.mark.parametrize("error", [Refused("filtered"), Malformed("empty")])
def test_no_answer_means_no_edits(error):
    found = propose(Scripted([error]))
    assert found.operations == () and "no answer" in found.error


def test_a_reply_cut_at_the_limit_of_tokens_is_an_error_and_no_part_of_it_an_edit():
    whole = reply({"op": "ADD", "content": "Look at the receipt."}, UPDATE)
    for text in (whole[:-30], f"First {whole}, but better:"):
        cut = Reply(message=Message(role="assistant", content=text), finish=Finish.LENGTH)
        found = propose(Scripted([cut]))
        assert (found.operations, found.refused, found.raw) == ((), (), text) and "limit of tokens" in found.error
    assert propose(Scripted([whole[:-30]])).error == "the JSON of the reply has no end"


def test_another_error_is_raised():
    with pytest.raises(RateLimited):
        propose(Scripted([RateLimited("429")]))


def test_nothing_found_makes_no_call():
    llm = Scripted([])
    found = propose(llm, reflections=(nothing([signal("t1")], "no clean run"),))
    assert (llm.requests, found.operations, bool(found.error)) == ([], (), True)


def test_variance_alone_asks_for_runs_and_not_for_edits():
    llm = Scripted([NONE])
    told = TOLD.model_copy(update={"failure_type": FailureType.EXECUTION_VARIANCE})
    found = propose(llm, Options(auxiliary=True, more_runs_on_variance=True), reflections=(told,))
    assert (llm.requests, found.operations, found.more_runs) == ([], (), ("t1",))
    assert propose(llm, Options(auxiliary=True), reflections=(told,)).more_runs == ()
    assert len(llm.requests) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No edits are needed.",
        "null",
        '{"operations": null}',
        '{"operations": "none"}',
        '{"operations": ["add a rule", null, 5, [], {"op": null}, {"op": "FORGET", "entry_id": "e1"}]}',
        '[{"op": "ADD", "section": null, "content": ["a", 3]}, {"op": "ADD", "section": ["x"], "content": "y"}]',
        '{"operations": [{"op": "UPDATE", "entry_id": {"id": 1}, "content": {"x": 1}}]}',
        "see [abc] and {x}: " + reply(UPDATE),
    ],
)
def test_a15_malformed_proposals_never_crash_and_are_all_accounted_for(text):
    found = propose(Scripted([text]))
    done = apply(PLAYBOOK, found.operations, Rules())
    assert len(done.applied) + len(done.rejected) == len(found.operations)
    assert all(one.reason for one in (*found.refused, *done.rejected))
    assert found.raw == text


def test_r14_edits_are_found_behind_prose_with_brackets():
    assert len(propose(Scripted(["see [abc] and {x}: " + reply(UPDATE)])).operations) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["ADD", "UPDATE", "MERGE", "e1", "some text here"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["op", "type", "entry_id", "content", "section", "source_tasks"]), inner)
    ),
    max_leaves=10,
)


@settings(max_examples=50)
@given(operations=st.lists(JSON, max_size=6))
def test_s4_proposed_is_applied_plus_rejected_plus_refused(operations):
    found = read_proposal(json.dumps({"operations": operations}), DEFAULTS.operations, ["t1"], "")
    done = apply(PLAYBOOK, found.operations, Rules())
    assert len(done.applied) + len(done.rejected) + len(found.refused) == len(operations)


def test_what_the_mutator_sees_of_the_runs():
    def asked(options, **more):
        llm = Scripted(lambda request: NONE if request.role is Role.MUTATOR else "It charged, then charged again.")
        propose(llm, options, **more)
        return llm.requests

    (full,) = asked(Options(runs=Runs.FULL))
    assert "[2] call charge" in full.messages[1].content
    (without,) = asked(Options(runs=Runs.NONE))
    assert "[2] call charge" not in without.messages[1].content and "# The runs" not in without.messages[1].content
    told = Scripted(["It charged, then charged again."])
    (summed,) = asked(Options(runs=Runs.SUMMARY), summariser=Summariser(told))
    text = summed.messages[1].content
    assert "# Summaries of the runs" in text and "It charged, then charged again." in text
    assert "[2] call charge" not in text
    assert [request.role for request in told.requests] == [Role.SUMMARY]


def test_s5_the_summariser_reads_67_percent_and_the_finding():
    told = Scripted(["short"])
    texts = asyncio.run(Summariser(told, words=80).summaries([signal("t1", 0.67)], [TOLD], 1))
    first, second = (message.content for message in told.requests[0].messages)
    assert "score: 67 %" in second and "It charged twice." in second and "at most 80 words" in first
    assert texts == ["## Task t1\n\n<summary>\nshort\n</summary>"]


def test_a_filtered_summary_is_a_note():
    texts = asyncio.run(Summariser(Scripted([Refused("filtered")])).summaries([signal("t1")], [TOLD], 1))
    assert "no summary: filtered" in texts[0]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Options(operations=(Op.DELETE,)), "without ADD"),
        (lambda: Options(more_runs_on_variance=True), "no effect without auxiliary"),
        (lambda: LLMMutator(Scripted([]), FACTS, Options(runs=Runs.SUMMARY)), "summariser"),
        (lambda: LLMMutator(Scripted([]), FACTS, summariser=Summariser(Scripted([]))), "summariser"),
    ],
)
def test_rule_13_settings_without_effect_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_scripted_mutator_gives_each_edit_its_tasks():
    mutator = ScriptedMutator(lambda playbook, reflections: read_proposal(reply(UPDATE), ALL, (), "").operations)
    found = asyncio.run(mutator.propose(PLAYBOOK, [signal("t1")], [TOLD], "", 0))
    assert [one.source_tasks for one in found.operations] == [("t1",)]
