"""Differences of playbooks, and merging those that grew apart."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.counts import count
from cleartrace.context.playbook.diff import Diff, DoesNotFit, Kind, diff, patch
from cleartrace.context.playbook.merge import merge
from cleartrace.context.playbook.merge_entries import Side
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.text import same
from cleartrace.context.playbook.types import Playbook, Source
from cleartrace.learn.protocol import EntryVerdict, Tag
from tests.context.playbook.strategies import LIKELY, PLAYBOOKS, playbook_of

PAY, ASK, SORT = "Check the total before paying.", "Ask for the password first.", "Sort the list by date."


def add(text: str) -> Operation:
    return Operation(op=Op.ADD, texts=(text,), section="checks")


def update(id: str, text: str, section: str = "") -> Operation:
    return Operation(op=Op.UPDATE, entry_ids=(id,), texts=(text,), section=section)


def delete(id: str) -> Operation:
    return Operation(op=Op.DELETE, entry_ids=(id,))


def counted(book: Playbook, id: str, *tags: Tag) -> Playbook:
    return count(book, [EntryVerdict(entry_id=id, tag=tag) for tag in tags]).playbook


BASE = apply(Playbook(), [add(PAY), add(ASK), add(SORT)], source=Source(iteration=1)).playbook


def after(*operations: Operation, book: Playbook = BASE) -> Playbook:
    done = apply(book, operations, source=Source(iteration=2))
    assert done.rejected == ()
    return done.playbook


@settings(max_examples=60, deadline=None)
@given(PLAYBOOKS, PLAYBOOKS)
def test_a5_diff_and_apply_are_identity(one, other):
    assert patch(one, diff(one, other)) == other
    assert not diff(one, one)


@settings(max_examples=60, deadline=None)
@given(PLAYBOOKS, st.lists(LIKELY, max_size=6), st.randoms())
def test_a5_diff_survives_json_and_other_orders_and_fields(one, operations, random):
    entries = list(playbook_of(operations, one).entries)
    random.shuffle(entries)
    other = Playbook.model_validate({"entries": entries, "next_id": 99, "sections": {"a": "b"}, "owner": "x"})
    there = Diff.model_validate_json(diff(one, other).model_dump_json())
    assert patch(one, there) == other
    assert patch(other, diff(other, one)) == one


def test_a_diff_names_what_happened():
    book = counted(
        after(delete("e1"), update("e2", ASK + " Always."), update("e3", SORT, "lists"), add("A new one, really.")),
        "e3",
        Tag.HELPFUL,
    )
    assert [(one.id, one.kind) for one in diff(BASE, book).changes] == [
        ("e2", Kind.REWRITTEN),
        ("e3", Kind.MOVED),
        ("e4", Kind.ADDED),
        ("e1", Kind.REMOVED),
    ]
    assert [one.kind for one in diff(BASE, counted(BASE, "e2", Tag.HARMFUL)).changes] == [Kind.COUNTED]


def test_a_diff_fits_its_own_start_alone():
    change = diff(BASE, after(update("e2", ASK + " Always.")))
    with pytest.raises(DoesNotFit, match="e2"):
        patch(after(delete("e2")), change)
    with pytest.raises(DoesNotFit, match="next_id"):
        patch(after(add("A new one, really."), delete("e4")), diff(BASE, after(add("Another new one."))))


def test_disjoint_edits_are_both_there():
    ours, theirs = (
        after(update("e1", PAY + " Twice."), add("Ours is new here.")),
        after(delete("e3"), add("Theirs is new here.")),
    )
    done = merge(BASE, ours, theirs)
    assert done.conflicts == ()
    assert [(entry.id, entry.text) for entry in done.playbook.entries] == [
        ("e1", PAY + " Twice."),
        ("e2", ASK),
        ("e4", "Ours is new here."),
        ("e5", "Theirs is new here."),
    ]
    assert done.renamed == {Side.THEIRS: {"e4": "e5"}} and done.playbook.next_id == 6


@settings(max_examples=80, deadline=None)
@given(st.lists(LIKELY, max_size=5), st.lists(LIKELY, max_size=5), st.lists(st.sampled_from(Tag), max_size=3))
def test_a5_merge_commutes_where_there_is_no_conflict(left, right, tags):
    ours, theirs = playbook_of(left, BASE), counted(playbook_of(right, BASE), "e2", *tags)
    done, mirrored = merge(BASE, ours, theirs), merge(BASE, theirs, ours)
    assert bool(done.conflicts) == bool(mirrored.conflicts)
    if not done.conflicts:
        assert done.playbook == mirrored.playbook
        assert len({same(entry.text) for entry in done.playbook.entries}) == len(done.playbook)
    assert merge(BASE, ours, BASE).playbook == ours == merge(BASE, BASE, ours).playbook
    assert merge(BASE, ours, ours).playbook == ours
    Playbook.model_validate(done.playbook.model_dump())


@settings(max_examples=40, deadline=None)
@given(st.lists(LIKELY, max_size=5), st.lists(LIKELY, max_size=5))
def test_a5_what_one_side_did_alone_is_in_the_merge(left, right):
    """Entry by entry, against the plain rule: who changed an entry decides; who did not has no say."""
    ours, theirs = playbook_of(left, BASE), playbook_of(right, BASE)
    done = merge(BASE, ours, theirs)
    disputed = {one.where for one in done.conflicts}
    for entry in BASE.entries:
        mine, other = ours.entry(entry.id), theirs.entry(entry.id)
        if entry.id not in disputed and (mine == entry or other == entry):
            wanted = other if mine == entry else mine
            merged = done.playbook.entry(entry.id)
            assert (merged and merged.text) == (wanted and wanted.text)
    texts = {same(entry.text) for entry in done.playbook.entries}
    old = {entry.id for entry in BASE.entries}
    for entry in (*ours.entries, *theirs.entries):
        assert entry.id in old or same(entry.text) in texts


def test_counts_are_evidence_and_add_up():
    base = counted(BASE, "e1", Tag.HELPFUL)
    ours = counted(base, "e1", Tag.HELPFUL, Tag.HARMFUL)
    theirs = counted(base, "e1", Tag.HELPFUL, Tag.HELPFUL)
    entry = merge(base, ours, theirs).playbook.entry("e1")
    assert entry is not None and (entry.helpful, entry.harmful) == (4, 1)


def test_r8_counts_on_an_old_text_go_to_the_old_revision():
    entry = merge(BASE, after(update("e1", PAY + " Twice.")), counted(BASE, "e1", Tag.HARMFUL)).playbook.entry("e1")
    assert entry is not None and (entry.revision, entry.harmful, entry.history[0].harmful) == (2, 0, 1)


def test_conflicts_are_shown_and_one_side_can_be_preferred():
    ours, theirs = (
        after(update("e1", PAY + " Ours."), delete("e2")),
        after(update("e1", PAY + " Theirs."), update("e2", ASK + " Now.")),
    )
    done = merge(BASE, ours, theirs)
    assert [(one.where, one.what) for one in done.conflicts] == [
        ("e1", "both sides rewrote it"),
        ("e2", "one side removed it and the other changed it"),
    ]
    assert done.conflicts[0].ours == PAY + " Ours." and done.conflicts[1].ours is None
    assert [entry.id for entry in done.playbook.entries] == ["e1", "e3"]
    preferred = merge(BASE, ours, theirs, Side.THEIRS).playbook
    assert [entry.text for entry in preferred.entries] == [PAY + " Theirs.", SORT, ASK + " Now."]


def test_a_removed_entry_that_was_only_counted_is_gone():
    done = merge(BASE, after(delete("e1")), counted(BASE, "e1", Tag.HELPFUL))
    assert done.conflicts == () and done.playbook.entry("e1") is None


def test_two_entries_rewritten_to_one_text_are_a_conflict():
    done = merge(BASE, after(update("e1", "One text for both.")), after(update("e2", "one text for both.")))
    assert [(one.where, one.what) for one in done.conflicts] == [("e2", "it now reads as e1 does")]


def test_the_same_new_advice_of_both_sides_is_one_entry():
    done = merge(BASE, after(add("A new one, really.")), after(add("Another new one."), add("a new one, REALLY.")))
    assert [entry.id for entry in done.playbook.entries] == ["e1", "e2", "e3", "e4", "e6"]
    assert done.conflicts == () and done.renamed == {Side.THEIRS: {"e4": "e6", "e5": "e4"}}


def test_sections_and_unknown_fields_are_merged_too():
    ours = BASE.model_copy(update={"sections": {"checks": "what to check"}})
    theirs = Playbook.model_validate({**BASE.model_dump(), "sections": {"lists": "lists"}, "owner": "x"})
    done = merge(BASE, ours, theirs).playbook
    assert done.sections == {"checks": "what to check", "lists": "lists"} and done.model_dump()["owner"] == "x"
