"""Spec 2.8: the buffer counts as published (A11)."""

import pytest

from cleartrace.learn.rcl.replay import Change, ReplayEntry, ReplayRules, mark_reflected, record


def play(results: str, rules: ReplayRules, reflect_after: int | None = 1):
    """Results of one task, `F` or `P`; reflected on after so many of them."""
    buffer, changes = (), []
    for number, result in enumerate(results, 1):
        buffer, change = record(buffer, "a", result == "P", rules)
        changes.append(change.value[0])
        if number == reflect_after:
            buffer = mark_reflected(buffer, ["a"])
    return "".join(changes), buffer


# i inserted, k kept, g graduated, e evicted, n none
@pytest.mark.parametrize(
    ("results", "changes", "left"),
    [
        ("P", "n", None),
        ("F", "i", (0, 0)),
        ("FF", "ik", (0, 1)),
        ("FFF", "ikk", (0, 2)),
        ("FFFF", "ikke", None),
        ("FFPFFF", "ikkkke", None),
        ("FPPPP", "ikkkk", (4, 0)),
        ("FPPPPP", "ikkkkg", None),
        ("FPPFPP", "ikkkkk", (2, 0)),
        ("FFFFF", "ikkei", (0, 0)),
        ("FPPPPPF", "ikkkkgi", (0, 0)),
    ],
)
def test_a11_graduate_after_five_passes_and_evict_at_the_fourth_failure(results, changes, left):
    got, buffer = play(results, ReplayRules())
    assert got == changes
    assert [(one.passes, one.failures) for one in buffer] == ([left] if left else [])


def test_a11_what_was_never_reflected_on_is_never_evicted():
    assert play("F" * 9, ReplayRules(), reflect_after=None)[0] == "i" + "k" * 8


def test_a11_zero_means_never():
    rules = ReplayRules(graduate=0, evict=0)
    assert play("F" + "P" * 20, rules)[1] == (ReplayEntry(task_id="a", passes=20, reflected=True),)
    assert play("F" * 20, rules)[1] == (ReplayEntry(task_id="a", failures=19, reflected=True),)


def test_a11_the_oldest_leaves_a_full_buffer():
    buffer = ()
    for name in "abcad":
        buffer, _ = record(buffer, name, False, ReplayRules(max_size=2))
    assert [one.task_id for one in buffer] == ["a", "d"]


def test_a_task_that_returns_starts_anew():
    _, buffer = play("FFFFF", ReplayRules())
    assert buffer == (ReplayEntry(task_id="a"),)
    assert record((), "a", False, ReplayRules())[1] is Change.INSERTED
