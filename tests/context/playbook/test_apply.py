"""Edits: what each does, why it is refused, and what holds after any sequence of them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.counts import count, prune
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.provenance import came_from, sources
from cleartrace.context.playbook.rules import Decay, Rules
from cleartrace.context.playbook.text import same
from cleartrace.context.playbook.types import Entry, Playbook, Source
from cleartrace.learn.protocol import EntryVerdict, Tag
from tests.context.playbook.strategies import SEQUENCES

PAY, ASK, SORT = "Check the total before paying.", "Ask for the password first.", "Sort the list by date."


def add(text: str, section: str = "checks", **fields) -> Operation:
    return Operation(op=Op.ADD, texts=(text,), section=section, **fields)


def update(id: str, text: str, section: str = "") -> Operation:
    return Operation(op=Op.UPDATE, entry_ids=(id,), texts=(text,), section=section)


def delete(id: str) -> Operation:
    return Operation(op=Op.DELETE, entry_ids=(id,))


def merge(ids: tuple[str, ...], text: str) -> Operation:
    return Operation(op=Op.MERGE, entry_ids=ids, texts=(text,))


def split(id: str, *texts: str, section: str = "") -> Operation:
    return Operation(op=Op.SPLIT, entry_ids=(id,), texts=texts, section=section)


@pytest.fixture
def book() -> Playbook:
    """e1 (pay), e2 (ask), e3 (sort)."""
    return apply(Playbook(), [add(PAY), add(ASK), add(SORT, "lists")], source=Source(iteration=1)).playbook


def refusal(playbook: Playbook, operation: Operation, rules: Rules | None = None) -> str:
    done = apply(playbook, [operation], rules)
    assert done.playbook == playbook and done.applied == ()
    return done.rejected[0].reason


def test_add_gives_the_next_id_and_says_where_it_came_from(book):
    source = Source(iteration=4, tasks=("t1", "t2"), episodes=("x",))
    done = apply(
        book, [add("Read the page once more.", source_tasks=("t2",), rationale="it was missed")], source=source
    )
    new = done.playbook.entries[-1]
    assert (new.id, new.revision, new.section) == ("e4", 1, "checks")
    assert new.source == Source(iteration=4, tasks=("t2",), episodes=("x",), reason="it was missed")
    assert done.applied[0].added == ("e4",)


def test_ids_are_never_used_again(book):
    done = apply(book, [delete("e3"), delete("e2"), add(ASK), add(SORT)])
    assert [entry.id for entry in done.playbook.entries] == ["e1", "e4", "e5"]


def test_new_ids_pass_by_ids_that_a_file_brought():
    book = Playbook(entries=(Entry(id="e1", section="a", text=PAY), Entry(id="e2", section="a", text=ASK)), next_id=1)
    assert apply(book, [add(SORT)]).playbook.entries[-1].id == "e3"


def test_r8_a_rewrite_starts_new_counts_and_keeps_the_old_revision(book):
    counted = count(book, [verdict("e1", Tag.HARMFUL)] * 9 + [verdict("e1", Tag.HELPFUL)] * 5).playbook
    done = apply(counted, [update("e1", "Check the total twice before paying.")], source=Source(iteration=7))
    entry = done.playbook.entry("e1")
    assert entry is not None
    assert (entry.revision, entry.helpful, entry.harmful) == (2, 0, 0)
    former = entry.history[0]
    assert (former.revision, former.text, former.helpful, former.harmful) == (1, PAY, 5, 9)
    assert former.source == Source(iteration=1) and entry.source == Source(iteration=7)
    assert prune(done.playbook, 4).removed == ()
    assert [gone.id for gone in prune(counted, 4).removed] == ["e1"]


def test_r8_counts_can_decay_instead(book):
    counted = count(book, [verdict("e1", Tag.HARMFUL)] * 9 + [verdict("e1", Tag.HELPFUL)] * 5).playbook
    entry = apply(counted, [update("e1", ASK + " Always.")], Rules(decay=Decay.HALVE)).playbook.entry("e1")
    assert entry is not None and (entry.helpful, entry.harmful) == (2, 4)


def test_r7_duplicates_are_looked_for_in_the_texts_of_now(book):
    new = "Check the sum before paying."
    done = apply(book, [update("e1", new), add(new.upper()), add(PAY)])
    assert [rejected.reason for rejected in done.rejected] == ["the same text is already in e1"]
    assert done.playbook.entries[-1].text == PAY


def test_s4_update_is_checked_as_add_is(book):
    assert refusal(book, update("e1", "x")) == "the text has 1 characters; at least 11 are needed"
    assert refusal(book, update("e1", "  ")) == "the text is empty"
    assert refusal(book, update("e1", ASK)) == "the same text is already in e2"
    long = "y" * 50
    for operation in (add(long), update("e1", long), merge(("e1", "e2"), long), split("e1", PAY, long)):
        assert refusal(book, operation, Rules(cap_chars=40)) == "the text has 50 characters; at most 40 are allowed"


def test_s4_update_changes_the_section_when_one_is_given(book):
    moved = apply(book, [update("e1", PAY, "Lists")]).playbook.entry("e1")
    assert moved is not None and (moved.section, moved.revision, moved.history) == ("lists", 1, ())
    both = apply(book, [update("e1", PAY + " Twice.", "lists")]).playbook.entry("e1")
    assert both is not None and (both.section, both.revision) == ("lists", 2)


def test_s4_reasons_say_what_is_wrong(book):
    assert refusal(book, update("e9", PAY + "!")) == "there is no entry e9"
    assert refusal(book, update("e1", PAY)) == "UPDATE changes nothing: e1 reads so already"
    assert refusal(book, Operation(op=Op.UPDATE, entry_ids=("e1",))) == "UPDATE needs one text, got 0"
    assert refusal(book, Operation(op=Op.ADD)) == "ADD needs one text, got 0"
    assert refusal(book, Operation(op=Op.DELETE)) == "DELETE needs one entry, got 0"
    assert refusal(book, merge(("e1", "e1"), PAY + "!")) == "MERGE needs two or more entries, got 1"
    assert refusal(book, split("e1", PAY + "!")) == "SPLIT needs two or more texts, got 1"
    assert refusal(book, split("e1", SORT + "!", SORT + "!")) == "two of the texts are the same"
    twice = apply(book, [delete("e1"), delete("e1")])
    assert twice.rejected[0].reason == "there is no entry e1 any more: an earlier edit removed it"
    assert [gone.text for gone in twice.applied[0].removed] == [PAY]


def test_add_only_refuses_all_others(book):
    rules = Rules(add_only=True)
    for operation in (update("e1", PAY + "!"), delete("e1"), merge(("e1", "e2"), PAY), split("e1", PAY, SORT + "!")):
        assert refusal(book, operation, rules) == f"only ADD is allowed, not {operation.op.value}"
    assert apply(book, [add(PAY + "!")], rules).rejected == ()


def test_a_full_playbook_takes_no_more_but_can_be_edited(book):
    rules = Rules(max_entries=3)
    assert refusal(book, add(PAY + "!"), rules) == "the playbook is full: it has 3 entries and 3 are allowed"
    assert refusal(book, split("e1", PAY, PAY + "!"), rules).startswith("the playbook is full")
    done = apply(book, [merge(("e1", "e2"), PAY + " " + ASK), add("Something entirely new.")], rules)
    assert done.rejected == () and len(done.playbook) == 3


def test_merge_keeps_the_first_and_remembers_the_others(book):
    done = apply(book, [merge(("e2", "e1"), "Ask, then check the total.")])
    assert [entry.id for entry in done.playbook.entries] == ["e2", "e3"]
    history = done.playbook.entries[0].history
    assert [(former.entry_id, former.text) for former in history] == [("", ASK), ("e1", PAY)]
    assert done.playbook.entries[0].section == "checks"
    assert [gone.id for gone in done.applied[0].removed] == ["e1"]


def test_split_keeps_the_entry_and_makes_others_of_it(book):
    done = apply(book, [split("e1", "Check the total.", "Pay only once.", section="lists")])
    assert [(entry.id, entry.text) for entry in done.playbook.entries if entry.section == "lists"] == [
        ("e1", "Check the total."),
        ("e3", SORT),
        ("e4", "Pay only once."),
    ]
    assert done.playbook.entries[-1].history[0].entry_id == "e1"
    assert (done.applied[0].added, done.applied[0].changed) == (("e4",), ("e1",))


def test_an_entry_leads_to_its_episodes_and_back_through_every_edit(book):
    source = Source(iteration=5, tasks=("t5",), episodes=("episode5",))
    joined = apply(book, [merge(("e1", "e2"), "Ask, then check the total.")], source=source).playbook
    parted = apply(joined, [split("e1", "Ask for it first.", "Check the total.")], source=Source(iteration=6)).playbook
    assert [entry.id for entry in joined.entries if came_from(entry, "episode5")] == ["e1"]
    assert [entry.id for entry in parted.entries if came_from(entry, "t5")] == ["e1", "e4"]
    assert [one.iteration for one in sources(parted.entries[0])] == [1, 1, 5, 6]
    assert not any(came_from(entry, "t6") for entry in parted.entries)


def test_unknown_sections_go_to_others_only_where_it_is_allowed(book):
    told = Rules(sections=("api_calls", "Others"))
    done = apply(book, [add(PAY + "!", "Weather")], told)
    assert done.playbook.entries[-1].section == "Others"
    assert done.applied[0].note == "there is no section 'Weather'; filed under Others"
    strict = Rules(sections=("api_calls", "mistakes"))
    assert (
        refusal(book, add(PAY + "!", "api-call"), strict) == "there is no section 'api-call'; the nearest is api_calls"
    )
    assert refusal(book, add(PAY + "!", ""), strict) == "no section is named; there are api_calls, mistakes"
    assert apply(book, [add(PAY + "!", "API Calls")], strict).playbook.entries[-1].section == "api_calls"
    own = book.model_copy(update={"sections": {"checks": "what to check {first}"}})
    assert refusal(own, add(PAY + "!", "checkz")) == "there is no section 'checkz'; the nearest is checks"


def test_rules_refuse_what_makes_no_sense():
    with pytest.raises(ValidationError, match="cap_char"):
        Rules.model_validate({"cap_char": 3})
    with pytest.raises(ValidationError, match="no text fits"):
        Rules(cap_chars=5)


def test_half_characters_do_not_reach_a_playbook():
    done = apply(Playbook(), [add("A text with half a character \ud83d in it.")])
    assert done.playbook.entries[0].text == "A text with half a character \ufffd in it."


def verdict(id: str, tag: Tag) -> EntryVerdict:
    return EntryVerdict(entry_id=id, tag=tag)


def test_counts_mark_neutral_entries_and_name_unknown_ones(book):
    done = count(book, [verdict("e1", Tag.HELPFUL), verdict("e2", Tag.NEUTRAL), verdict("e7", Tag.HARMFUL)])
    assert [(entry.helpful, entry.harmful) for entry in done.playbook.entries] == [(1, 0), (0, 0), (0, 0)]
    assert set(done.tallies) == {"e1", "e2"} and done.tallies["e2"].neutral == 1
    assert done.unknown == ("e7",)
    assert book.entries[0].helpful == 0


def test_pruning_is_off_at_zero(book):
    counted = count(book, [verdict("e2", Tag.HARMFUL)] * 2).playbook
    assert prune(counted, 0).playbook == counted
    assert prune(counted, 3).removed == ()
    assert [entry.id for entry in prune(counted, 2).playbook.entries] == ["e1", "e3"]
    with pytest.raises(ValueError, match="0 or more"):
        prune(counted, -1)


RULES = st.builds(
    Rules,
    min_chars=st.sampled_from([1, 11]),
    cap_chars=st.sampled_from([0, 40]),
    max_entries=st.sampled_from([0, 3]),
    sections=st.sampled_from([None, (), ("checks", "others"), ("checks",)]),
    decay=st.sampled_from(Decay),
)


@settings(max_examples=60, deadline=None)
@given(SEQUENCES, RULES, st.lists(st.tuples(st.sampled_from(["e1", "e2", "e3"]), st.sampled_from(Tag)), max_size=6))
def test_a5_any_sequence_keeps_ids_limits_texts_and_history(operations, rules, tags):
    playbook, seen = Playbook(), set()
    for operation in operations:
        before = playbook
        done = apply(playbook, [operation], rules, Source(iteration=2))
        playbook = count(done.playbook, [verdict(id, tag) for id, tag in tags]).playbook
        new = {entry.id for entry in playbook.entries} - {entry.id for entry in before.entries}
        assert not new & seen
        seen |= {entry.id for entry in playbook.entries}
    Playbook.model_validate(playbook.model_dump())
    texts = [entry.text for entry in playbook.entries]
    assert len({same(text) for text in texts}) == len(texts)
    assert all(rules.min_chars <= len(text) and (not rules.cap_chars or len(text) <= rules.cap_chars) for text in texts)
    assert not rules.max_entries or len(playbook) <= rules.max_entries
    assert not rules.sections or {entry.section for entry in playbook.entries} <= set(rules.sections)
    for entry in playbook.entries:
        own = [former.revision for former in entry.history if not former.entry_id]
        assert own == list(range(1, entry.revision))
        assert {former.entry_id for former in entry.history} <= {"", *seen}


@settings(max_examples=60, deadline=None)
@given(SEQUENCES, RULES)
def test_a15_applied_and_rejected_are_what_was_proposed(operations, rules):
    done = apply(Playbook(), operations, rules)
    account = [change.operation for change in done.applied] + [rejected.operation for rejected in done.rejected]
    assert Counter(one.canonical() for one in account) == Counter(one.canonical() for one in operations)
    assert all(rejected.reason for rejected in done.rejected)
    assert done == apply(Playbook(), operations, rules)
