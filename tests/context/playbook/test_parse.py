"""Edits as models write them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.parse import read_operations, read_summary
from cleartrace.context.playbook.types import Playbook

ADD = {"op": "ADD", "content": "Read the total twice.", "section": "checks"}


def reasons(raw: object) -> list[str]:
    done = read_operations(raw)
    assert done.operations == ()
    return [refusal.reason for refusal in done.refused]


def test_the_published_shapes_are_read():
    wanted = (Operation(op=Op.ADD, texts=("Read the total twice.",), section="checks"),)
    for raw in ([ADD], {"mutation_summary": "one", "operations": [ADD]}, ADD, {"operations": ADD}):
        assert read_operations(raw) == (wanted, ())
    assert read_summary({"mutation_summary": " one ", "operations": []}) == "one"
    assert read_summary([ADD]) == read_summary({"mutation_summary": None}) == ""


def test_other_names_of_fields_are_read():
    raw = [
        {"type": "update", "entry_id": "[e3]", "text": "Read the total twice.", "section": None, "rationale": "why"},
        {"op": " delete ", "entry_id": 7, "content": None},
        {"op": "MERGE", "entry_ids": ["e1", "e2"], "content": "Both in one."},
        {"op": "SPLIT", "entry_id": "e1", "texts": ["One half.", {"content": "The other."}]},
    ]
    done = read_operations(raw)
    assert done.refused == ()
    assert [(one.op.value, one.entry_ids, one.texts, one.section) for one in done.operations] == [
        ("UPDATE", ("e3",), ("Read the total twice.",), ""),
        ("DELETE", ("7",), (), ""),
        ("MERGE", ("e1", "e2"), ("Both in one.",), ""),
        ("SPLIT", ("e1",), ("One half.", "The other."), ""),
    ]
    assert done.operations[0].rationale == "why"


@pytest.mark.parametrize(
    ("proposal", "reason"),
    [
        ("ADD it", "not an object but a text"),
        (None, "not an object but null"),
        (["ADD"], "not an object but a list"),
        ({"content": "Read the total twice."}, "it does not say which operation it is"),
        ({"op": 3}, "op is a number"),
        ({"op": "UPDTE"}, "unknown operation 'UPDTE'; is it UPDATE?"),
        ({"op": "xyz"}, "unknown operation 'xyz'; known: ADD, UPDATE, DELETE, MERGE, SPLIT"),
        ({"op": "ADD", "content": 5}, "its content is not a text but a number"),
        ({"op": "ADD", "content": ["fine", 5]}, "its content is not a text but a number"),
        ({"op": "ADD", "content": {"a": 1}}, "its content is not a text but null"),
        ({"op": "ADD", "content": "Read the total.", "section": ["a"]}, "section is not a text but a list"),
        ({"op": "DELETE", "entry_id": {"id": "e1"}}, "an entry id is an object"),
        ({"op": "DELETE", "entry_id": True}, "an entry id is a truth value"),
    ],
)
def test_s3_a_proposal_without_form_is_refused_with_its_reason_and_kept(proposal, reason):
    done = read_operations([proposal, ADD])
    assert [refusal.reason for refusal in done.refused] == [reason]
    assert done.refused[0].proposed == proposal
    assert len(done.operations) == 1


def test_s3_operations_null_proposes_nothing_and_what_is_no_list_is_said():
    assert read_operations({"operations": None}) == ((), ())
    assert read_operations({"operations": []}) == ((), ())
    assert reasons({"operations": "none"}) == ['"operations" is not a list but a text']
    assert reasons({"thoughts": "none"}) == ['no list "operations" in it']
    assert reasons(None) == ["not a list of operations but null"]
    assert reasons(5) == ["not a list of operations but a number"]
    assert reasons("I would change nothing.") == ["the reply holds no JSON with operations"]


def test_s3_a_list_as_content_of_an_add_is_refused_when_it_is_applied():
    done = read_operations([{"op": "ADD", "content": ["Read the total.", "Pay only once."]}])
    assert apply(Playbook(), done.operations).rejected[0].reason == "ADD needs one text, got 2"


def test_s4_unknown_operations_leave_a_record():
    done = read_operations([{"op": "REPLACE", "entry_id": "e1", "content": "Read the total twice."}])
    assert done.refused[0].proposed["op"] == "REPLACE"


def test_r14_operations_are_found_in_text_with_brackets_before_them():
    text = f"see [abc] and {{x}}: {json.dumps({'mutation_summary': 'm', 'operations': [ADD]})} and no more"
    assert len(read_operations(text).operations) == 1
    assert read_summary(text) == "m"


@pytest.mark.parametrize("end", ["", "\n```", '"', " and so on.", "}"])
@pytest.mark.parametrize("start", ["", "```json\n", "First [ADD]: "])
def test_nothing_is_taken_out_of_a_reply_that_was_cut_off(start, end):
    whole = json.dumps({"mutation_summary": "m", "operations": [ADD, ADD, {"op": "DELETE", "entry_id": "e1 ]}"}]})
    for cut in range(1, len(whole) - 1):
        text = start + whole[:cut] + end
        assert read_operations(text).operations == () and read_summary(text) == "", text
    assert len(read_operations(start + whole).operations) == 3
    assert reasons(whole[:-9]) == ["the JSON of the reply has no end"]


def test_prose_and_python_around_the_json_are_no_cut():
    told = "He's 5\" tall [see {x} and [a]: "
    python = str({"operations": [{"op": "ADD", "content": 'Say "it\'s [open" twice.'}]})
    for text in (told + json.dumps([ADD]) + " :[", told + python):
        assert len(read_operations(text).operations) == 1


def test_source_tasks_are_those_that_were_reflected_on():
    raw = [
        ADD,
        {**ADD, "source_tasks": ["t2", "elsewhere", "t2"]},
        {**ADD, "source_tasks": []},
        {**ADD, "source_tasks": "t1"},
    ]
    done = read_operations(raw, tasks=["t1", "t2"])
    assert [one.source_tasks for one in done.operations] == [("t1", "t2"), ("t2",), (), ("t1",)]
    assert read_operations([{**ADD, "source_tasks": ["t9"]}]).operations[0].source_tasks == ("t9",)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)
FIELDS = ["op", "type", "entry_id", "entry_ids", "content", "texts", "section", "rationale", "source_tasks"]
PROPOSALS = st.lists(
    st.one_of(
        JSON, st.dictionaries(st.sampled_from(FIELDS), st.one_of(st.sampled_from([*Op]).map(lambda op: op.value), JSON))
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(PROPOSALS)
def test_a15_no_proposal_crashes_and_none_is_lost(proposals):
    done = read_operations({"operations": proposals}, tasks=["t1"])
    assert len(done.operations) + len(done.refused) == len(proposals)
    after = apply(Playbook(), done.operations)
    assert len(after.applied) + len(after.rejected) == len(done.operations)
    json.dumps([refusal.model_dump(mode="json") for refusal in done.refused], ensure_ascii=False).encode()


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_s3_any_json_is_read_or_refused(raw):
    done = read_operations(raw)
    assert all(refusal.reason for refusal in done.refused)
