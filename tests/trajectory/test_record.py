"""A record can always be written."""

from __future__ import annotations

import json

import pytest

from cleartrace.trajectory.record import AttemptRecord, RepairRecord, SegmentRecord, ToolCallRecord, written

HALF = "print('caf\udcc3')"


@pytest.mark.parametrize(
    "record",
    [
        ToolCallRecord(position=0, attempt=0, code=HALF, status="ok", text=HALF),
        AttemptRecord(text=HALF, code=HALF, error_class=None, error_text=HALF),
        SegmentRecord(kind="assistant_call", token_ids=[1], pieces=[HALF], loss=True),
        RepairRecord(position=0, outcome="recovered", splice="graft", similarity=1.0, attempts=[], replacement=HALF),
    ],
    ids=lambda record: type(record).__name__,
)
def test_half_a_character_does_not_lose_a_rollout(record):
    """A call that a model ended inside a character decodes to a lone surrogate, which UTF-8 cannot hold."""
    line = record.model_dump_json()
    assert type(record).model_validate_json(line) == record
    assert "\ufffd" in str(json.loads(line)) and "\udcc3" not in str(json.loads(line))


@pytest.mark.parametrize("text", ["plain", "café", "\U0001f600", "", None])
def test_other_text_stays_as_it_is(text):
    assert written(text) == text
