"""Model output is pruned to what fits, and every cut is told (S3)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from cleartrace.learn.lenient import Lenient
from cleartrace.learn.protocol import Tag


class Row(BaseModel):
    id: str
    tag: Tag
    why: str = ""


class Reply(Lenient):
    text: str = Field(min_length=1)
    rows: list[Row] = []
    note: str | None = None
    kind: Tag | None = None


def test_s3_a_broken_row_is_one_note_and_the_others_stay():
    rows = [{"id": "a", "tag": "helpful"}, {"id": "b", "tag": None}, "free text", {"id": 3, "tag": "wrong"}]
    read = Reply.model_validate({"text": "x", "rows": rows})
    assert [row.id for row in read.rows] == ["a"]
    assert len(read.dropped) == 3
    assert all(note.startswith("rows.") for note in read.dropped)


def test_s3_a_field_of_a_wrong_type_takes_its_default():
    read = Reply.model_validate({"text": "x", "rows": None, "note": ["y"], "kind": "sometimes"})
    assert (read.rows, read.note, read.kind) == ([], None, None)
    assert len(read.dropped) == 3


def test_an_optional_text_of_a_row_costs_only_itself():
    read = Reply.model_validate({"text": "x", "rows": [{"id": "a", "tag": "neutral", "why": None}]})
    assert read.rows[0].why == ""
    assert len(read.dropped) == 1


@pytest.mark.parametrize("data", [{}, {"text": 5}, {"text": ""}, [], "text", None])
def test_a_reply_without_what_it_must_have_is_an_error(data):
    with pytest.raises(ValidationError):
        Reply.model_validate(data)


def test_what_was_given_is_not_changed():
    data = {"text": "x", "rows": ["no row"]}
    Reply.model_validate(data)
    assert data == {"text": "x", "rows": ["no row"]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "tag", "text"]), inner),
    max_leaves=12,
)


@settings(max_examples=50)
@given(rows=JSON, note=JSON, kind=JSON)
def test_s3_no_shape_of_optional_fields_raises(rows, note, kind):
    read = Reply.model_validate({"text": "x", "rows": rows, "note": note, "kind": kind})
    if isinstance(rows, list):
        assert len(read.rows) + sum(note.startswith("rows.") for note in read.dropped) >= len(rows)
