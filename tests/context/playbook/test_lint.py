"""What is wrong with a playbook."""

from __future__ import annotations

from cleartrace.context.playbook.leak import Secret, SecretKind
from cleartrace.context.playbook.lint import LintOptions, Problem, lint
from cleartrace.context.playbook.types import Entry, Playbook, Revision, Source


def book(*entries: Entry, **fields) -> Playbook:
    return Playbook(entries=entries, next_id=fields.pop("next_id", 50), **fields)


def entry(id: str, text: str, section: str = "checks", **fields) -> Entry:
    return Entry(id=id, section=section, text=text, **fields)


def found(playbook: Playbook, options: LintOptions | None = None) -> list[tuple[Problem, tuple[str, ...]]]:
    return [(one.problem, one.entry_ids) for one in lint(playbook, options)]


def test_a_good_playbook_has_no_finding():
    good = book(
        entry("e1", "Check the total before you pay.", helpful=2, harmful=1),
        entry("e2", "Sort messages by date, see [e1], and take the newest."),
    )
    assert lint(good) == []


def test_duplicates_near_duplicates_and_contradictions_are_told_apart():
    pairs = book(
        entry("e1", "Check the total before you pay a bill."),
        entry("e2", "check the TOTAL before you pay a bill."),
        entry("e3", "Check the total before you pay the bill."),
        entry("e4", "Do not check the total before you pay a bill."),
        entry("e5", "Sort messages by date."),
    )
    assert found(pairs) == [
        (Problem.DUPLICATE, ("e1", "e2")),
        (Problem.NEAR_DUPLICATE, ("e1", "e3")),
        (Problem.CONTRADICTION, ("e1", "e4")),
        (Problem.NEAR_DUPLICATE, ("e2", "e3")),
        (Problem.CONTRADICTION, ("e2", "e4")),
        (Problem.CONTRADICTION, ("e3", "e4")),
    ]


def test_texts_that_are_too_long_or_empty():
    assert found(book(entry("e1", "word " * 300), entry("e2", "  "))) == [
        (Problem.TOO_LONG, ("e1",)),
        (Problem.EMPTY, ("e2",)),
    ]
    assert found(book(entry("e1", "word " * 300)), LintOptions(max_tokens=0)) == []


def test_sections_that_are_empty_or_unknown():
    told = book(entry("e1", "Sort messages.", "Lists"), sections={"checks": "", "Others": "", "mail": ""})
    assert found(told) == [
        (Problem.UNKNOWN_SECTION, ("e1",)),
        (Problem.EMPTY_SECTION, ()),
        (Problem.EMPTY_SECTION, ()),
    ]


def test_ids_that_contradict_each_other_or_lead_nowhere():
    odd = book(
        entry("e7", "Sort messages, as [e9] says, but not [1] or [x]."),
        entry("E7", "Take the newest."),
        entry("a b", "Ask for the password."),
        next_id=5,
    )
    messages = {one.entry_ids: one.message for one in lint(odd) if one.problem is Problem.ID}
    assert set(messages) == {("e7",), ("e7", "E7"), ("a b",)}
    assert [one.message for one in lint(odd) if one.entry_ids == ("e7",)] == [
        "its id would be given again: the next new entry is e5",
        "it refers to [e9], which is not there",
    ]


def test_entries_that_never_helped():
    former = Revision(revision=1, text="x", helpful=1)
    old = book(
        entry("e1", "Sort messages.", harmful=2, source=Source(iteration=9)),
        entry("e2", "Take the newest.", source=Source(iteration=1)),
        entry("e3", "Ask for the password.", source=Source(iteration=1), history=(former,), revision=2),
        entry("e4", "List every page.", source=Source(iteration=8)),
    )
    assert found(old) == [(Problem.NEVER_HELPFUL, ("e1",)), (Problem.NEVER_HELPFUL, ("e2",))]
    assert found(old, LintOptions(patience=0)) == [(Problem.NEVER_HELPFUL, ("e1",))]


def test_texts_that_quote_a_task_or_an_answer():
    secrets = (
        Secret(text="Reply to ann.berg@example.org about the espresso machine.", kind=SecretKind.TASK, task_id="t4"),
        Secret(text="2025-11-30", task_id="t4"),
    )
    leaky = book(
        entry("e1", "Write to ann.berg@example.org."), entry("e2", "Say 2025-11-30."), entry("e3", "Reply soon.")
    )
    assert [(one.entry_ids, one.message) for one in lint(leaky, LintOptions(secrets=secrets))] == [
        (("e1",), "it gives away 'ann.berg@example.org' (entity), out of the text of task t4"),
        (("e2",), "it gives away '2025-11-30' (answer), out of the answer of task t4"),
    ]
