"""The document: one order, caps, enums, inventory (R9)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.learn.memory.document import LedgerRow, ModelObservations, OptimizerState, Trend, trimmed
from cleartrace.learn.memory.inventory import coverage, maturity, with_inventory
from cleartrace.learn.memory.render import memory_text


def state(*iterations: int, **more) -> OptimizerState:
    rows = tuple(LedgerRow(iteration=n, summary=f"edit {n}") for n in iterations)
    return OptimizerState(iteration=max(iterations, default=-1), change_ledger=rows, **more)


def test_r9_fourteen_rows_with_a_cap_of_ten_keep_5_to_14_and_recent_are_10_to_14():
    kept = trimmed(state(*range(1, 15)), 10)
    assert [row.iteration for row in kept.change_ledger] == list(range(5, 15))
    assert [row.iteration for row in kept.recent()] == [10, 11, 12, 13, 14]
    text = memory_text(kept)
    assert [n for n in range(1, 15) if f"Iteration {n} " in text] == [10, 11, 12, 13, 14]


@given(iterations=st.lists(st.integers(0, 30), min_size=1, max_size=30), cap=st.integers(1, 12))
def test_r9_rows_are_in_one_order_however_they_arrive(iterations, cap):
    kept = [row.iteration for row in trimmed(state(*iterations), cap).change_ledger]
    assert kept == sorted(set(iterations))[-cap:]


def test_the_newest_row_of_an_iteration_counts():
    rows = (LedgerRow(iteration=1, summary="old"), LedgerRow(iteration=1, summary="new"))
    assert [row.summary for row in trimmed(OptimizerState(change_ledger=rows), 5).change_ledger] == ["new"]


def test_every_list_keeps_its_newest_rows():
    lines = tuple(f"line {n}" for n in range(15))
    full = OptimizerState(open_hypotheses=lines, model_observations=ModelObservations(capability_gaps=lines))
    kept = trimmed(full, 10)
    assert kept.open_hypotheses == lines[5:]
    assert kept.model_observations.capability_gaps == lines[5:]


def test_texts_are_cut_to_their_length():
    row = LedgerRow(iteration=1, summary="s" * 999, reflection_summary="r" * 999, notes="two\nlines")
    assert (len(row.summary), len(row.reflection_summary), row.notes) == (240, 400, "two lines")
    assert len(OptimizerState(open_hypotheses=("h" * 999,)).open_hypotheses[0]) == 240


@pytest.mark.parametrize("field, value", [("status", "proved"), ("evidence", "strong"), ("reversal_risk", "none")])
def test_enums_of_a_stored_document_are_validated(field, value):
    with pytest.raises(ValidationError):
        LedgerRow.model_validate({"iteration": 1, field: value})


def test_unknown_fields_of_a_later_version_survive():
    later = {**state(1).model_dump(mode="json"), "mood": "calm"}
    again = trimmed(OptimizerState.model_validate(json.loads(json.dumps(later))))
    assert again.model_dump(mode="json") == later


BOOK = Playbook(
    entries=(
        Entry(id="e1", section="pay", text="a", helpful=5),
        Entry(id="e2", section="pay", text="b", helpful=1, harmful=3),
        Entry(id="e3", section="search", text="c", helpful=3),
        Entry(id="e4", section="search", text="d", helpful=2),
        Entry(id="e5", section="talk", text="e"),
    ),
    sections={"pay": "", "search": "", "talk": "", "others": ""},
)


def test_entries_are_sorted_by_how_often_they_were_assessed():
    found = maturity(BOOK)
    assert found.battle_tested == ("e1",)
    assert found.developing == ("e2", "e3")
    assert found.untested_or_new == ("e4", "e5")
    assert found.at_risk == ("e2",)


def test_a_section_with_at_most_one_entry_is_thin():
    found = coverage(BOOK)
    assert (found.total, found.sections) == (5, 3)
    assert found.per_section == {"others": 0, "pay": 2, "search": 2, "talk": 1}
    assert found.under_represented == ("others", "talk")


def test_the_trend_is_against_the_last_inventory():
    first = with_inventory(OptimizerState().playbook_assessment, BOOK)
    assert first.size_trend is Trend.GROWING
    assert with_inventory(first, BOOK).size_trend is Trend.STABLE
    assert with_inventory(first, Playbook()).size_trend is Trend.SHRINKING
