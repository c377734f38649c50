"""Playbooks as text, under a cap, and brought under one."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.compact import compact, merge_similar
from cleartrace.context.playbook.counts import count, prune
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.render import View, best_first, part, render
from cleartrace.context.playbook.rules import Rules
from cleartrace.context.playbook.similar import near_groups
from cleartrace.context.playbook.types import Entry, Playbook, Source
from cleartrace.learn.protocol import EntryVerdict, Tag
from cleartrace.llm.protocol import Role
from cleartrace.llm.scripted import Scripted
from cleartrace.llm.tokens import count_tokens
from tests.context.playbook.strategies import PLAYBOOKS

BOOK = Playbook(
    entries=(
        Entry(id="e1", section="common_mistakes", text="Do not pay twice.", helpful=2, harmful=1),
        Entry(id="e2", section="api_calls", text="Read {every} page:\n- until one is empty", revision=3),
        Entry(id="e3", section="common_mistakes", text="Sort by date.", harmful=4),
    ),
    next_id=4,
)

VERDICTS = st.lists(
    st.builds(EntryVerdict, entry_id=st.sampled_from(["e1", "e2", "e3", "e4"]), tag=st.sampled_from(Tag)), max_size=8
)


def test_r5_the_agent_sees_ids_and_no_counts():
    assert render(BOOK).text == (
        "# Playbook\n\n## Api Calls\n- [e2] Read {every} page:\n  - until one is empty\n\n"
        "## Common Mistakes\n- [e1] Do not pay twice.\n- [e3] Sort by date."
    )
    assert [(one.id, one.revision) for one in render(BOOK).parts] == [("e2", 3), ("e1", 1), ("e3", 1)]


def test_those_who_edit_see_counts_and_marks():
    reflector = render(BOOK, View.REFLECTOR, assessed={"e1"}).text
    assert "- [e1] (+2 -1) Do not pay twice.\n" in reflector
    mutator = render(BOOK, View.MUTATOR, assessed={"e1"}).text
    assert "- [e1] (+2 -1) Do not pay twice. *\n" in mutator and mutator.endswith("- [e3] (+0 -4) Sort by date.")


def test_an_empty_playbook_is_an_empty_text():
    assert render(Playbook(), View.MUTATOR).text == "" and render(Playbook(), cap=0).tokens == 0


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=80).filter(str.strip), st.sampled_from(View))
def test_r15_any_text_survives(text, view):
    book = apply(Playbook(), [Operation(op=Op.ADD, texts=(text,), section="a {b} %s")], Rules(min_chars=1)).playbook
    shown = render(book, view).text
    assert book.entries[0].text in shown.replace("\n  ", "\n")
    assert [line for line in shown.split("\n") if line.startswith("- [")] == [
        line for line in shown.split("\n") if line.startswith("- [e1]")
    ]
    assert "## A {B} %S\n" in shown


@settings(max_examples=60, deadline=None)
@given(PLAYBOOKS, VERDICTS, st.integers(0, 120), st.sampled_from(View))
def test_a6_no_rendering_is_over_its_cap_and_what_is_left_out_is_named(playbook, verdicts, cap, view):
    playbook = count(playbook, verdicts).playbook
    rendered = render(playbook, view, cap)
    assert count_tokens(rendered.text) == rendered.tokens <= cap
    both = {one.id for one in rendered.parts} | {one.id for one in rendered.left_out}
    assert both == {entry.id for entry in playbook.entries}
    assert len(rendered.parts) + len(rendered.left_out) == len(playbook)
    assert rendered == render(playbook, view, cap)
    if count_tokens(render(playbook, view).text) <= cap:
        assert rendered.left_out == ()


def test_a6_a_counter_that_is_not_additive_cannot_break_the_cap():
    """Pieces that are cheap one by one and dear together."""

    def dear(text: str) -> int:
        return len(text.split("\n")) ** 2

    for cap in range(60):
        assert dear(text) <= cap if (text := render(BOOK, cap=cap, count=dear).text) else True


def test_the_best_entries_are_kept_and_smaller_ones_fill_the_room():
    assert [entry.id for entry in best_first(BOOK.entries)] == ["e1", "e2", "e3"]
    whole = render(BOOK).tokens
    assert [one.id for one in render(BOOK, cap=whole - 1).left_out] == ["e3"]
    huge = Entry(id="e9", section="a", text="word " * 200, helpful=9)
    assert [
        one.id for one in render(BOOK.model_copy(update={"entries": (*BOOK.entries, huge)}), cap=whole).left_out
    ] == ["e9"]


def test_newer_entries_win_among_equals():
    old, new = (Entry(id=id, section="a", text="x", source=Source(iteration=n)) for id, n in (("e1", 1), ("e2", 5)))
    assert [entry.id for entry in best_first([old, new])] == ["e2", "e1"]


@settings(max_examples=60, deadline=None)
@given(PLAYBOOKS, VERDICTS, st.integers(0, 120), st.sampled_from([0, 2]))
def test_a6_compaction_keeps_the_budget_and_records_what_went(playbook, verdicts, cap, threshold):
    playbook = count(playbook, verdicts).playbook
    done = compact(playbook, cap, prune_threshold=threshold)
    assert count_tokens(render(done.playbook).text) == done.tokens <= cap
    gone = {one.entry.id: one.entry for one in done.removed}
    assert {entry.id: entry for entry in (*done.playbook.entries, *gone.values())} == {
        entry.id: entry for entry in playbook.entries
    }
    assert len(gone) + len(done.playbook) == len(playbook) and all(one.reason for one in done.removed)
    assert done == compact(playbook, cap, prune_threshold=threshold)
    assert compact(done.playbook, cap, prune_threshold=threshold).removed == ()


def test_r18_compaction_takes_pruned_ones_first_then_repeated_ones_then_the_worst():
    book = BOOK.model_copy(update={"entries": (*BOOK.entries, Entry(id="e4", section="a", text="do not PAY twice."))})
    full = render(book).tokens
    assert compact(book, full).playbook == book
    first = compact(book, full - 1, prune_threshold=4)
    assert [(one.entry.id, one.reason) for one in first.removed] == [
        ("e3", "pruned: 0 times helpful, 4 times harmful")
    ] and prune(book, 4).playbook == first.playbook
    second = compact(book, full - 1)
    assert [(one.entry.id, one.reason) for one in second.removed] == [("e4", "the same text is in e1")]
    third = compact(book, render(BOOK).tokens - 1)
    assert [one.reason for one in third.removed] == [
        f"no room under {render(BOOK).tokens - 1} tokens: 0 times helpful, 4 times harmful",
        "the same text is in e1",
    ][::-1]


def test_a_model_merges_near_duplicates_and_may_decline():
    texts = (
        "Check the total before you pay a bill.",
        "Check the total before you pay the bill.",
        "Sort messages by date and take the newest.",
        "Sort messages by date and take the newest one.",
    )
    book = apply(Playbook(), [Operation(op=Op.ADD, texts=(text,)) for text in texts]).playbook
    assert [[entry.id for entry in group] for group in near_groups(book.entries)] == [["e1", "e2"], ["e3", "e4"]]
    llm = Scripted(["Check the total before you pay any bill.", "DIFFERENT."])
    done = asyncio.run(merge_similar(book, llm, seed=5))
    assert [(entry.id, entry.text) for entry in done.playbook.entries][0] == (
        "e1",
        "Check the total before you pay any bill.",
    )
    assert [entry.id for entry in done.playbook.entries] == ["e1", "e3", "e4"]
    assert [(request.role, request.seed) for request in llm.requests] == [(Role.MUTATOR, 5), (Role.MUTATOR, 6)]
    assert [gone.id for gone in done.applied[0].removed] == ["e2"]
    refused = asyncio.run(merge_similar(book, Scripted(["x", "y"])))
    assert refused.playbook == book and len(refused.rejected) == 2


def test_parts_name_entries_at_their_revision():
    assert part(BOOK.entries[1]).revision == 3
