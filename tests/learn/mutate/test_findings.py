"""The document that a mutator reads: nothing of a task's findings is lost in the merge."""

import pytest

from cleartrace.learn.mutate.findings import findings, only_variance, standing, summary, tally
from cleartrace.learn.protocol import CoverageGap, EntryVerdict, FailureType, Reflection, RootCause, Tag
from tests.learn.samples import signal

VARIANCE, GAP, HARD = FailureType.EXECUTION_VARIANCE, FailureType.ACTIONABLE_GAP, FailureType.INTRACTABLE


def found(id: str, *tags: tuple[str, Tag], **more) -> Reflection:
    verdicts = tuple(EntryVerdict(entry_id=entry, tag=tag, why=f"in {id}") for entry, tag in tags)
    return Reflection(task_ids=(id,), episodes=(), analysis=f"about {id}", verdicts=verdicts, **more)


def test_several_tasks_are_summed_up_and_then_told_one_by_one():
    signals = [signal("t1", 1.0), signal("t2", 0.67), signal("t3", 0.0), signal("t4", 0.0, 1.0)]
    told = [
        found("t1", ("e1", Tag.HELPFUL)),
        found("t2", ("e1", Tag.HELPFUL), ("e2", Tag.HARMFUL)),
        found("t3", ("e1", Tag.HARMFUL), ("e2", Tag.NEUTRAL)),
        found("t4"),
    ]
    text = findings(told, signals)
    assert text.splitlines()[:4] == [
        "Tasks: 4. Full pass: 1. Partial: 2. Fail: 1.",
        "Verdicts over all tasks (+helpful -harmful ~neutral):",
        "- e1: +2 -1 ~0",
        "- e2: +0 -1 ~1",
    ]
    for id in ("t1", "t2", "t3", "t4"):
        own = text.split(f"## Task {id} ")[1].split("## Task")[0]
        assert f"about {id}" in own
    assert "## Task t2 (score: 67 %)" in text and "## Task t4 (score: 0 %, 100 %)" in text
    assert "- e2 harmful: in t2" in text.split("## Task t2")[1].split("## Task")[0]


def test_one_task_needs_no_summary():
    text = findings([found("t1", ("e1", Tag.HELPFUL))], [signal("t1")])
    assert text.startswith("## Task t1") and "Tasks:" not in text


def test_r10_auxiliary_fields_reach_the_mutator():
    gap = CoverageGap(situation="two\ncharges", trigger="a second receipt", suggestion="stop")
    one = found("t1", failure_type=GAP, root_cause=RootCause.INTERFERENCE, question="e2 said so", gaps=(gap,))
    text = findings([one], [signal("t1")])
    assert "Type of failure: actionable_gap" in text and "Root cause: interference (e2 said so)" in text
    assert "Gap (procedure): two charges | trigger: a second receipt | suggestion: stop" in text


def test_patterns_and_silent_tasks_are_named():
    over = Reflection(task_ids=("t1", "t2"), episodes=(), analysis="both pay twice")
    silent = Reflection(task_ids=("t3",), episodes=(), analysis="", error="a content filter")
    text = findings([found("t1"), over, silent], [signal("t1"), signal("t2"), signal("t3")])
    assert "## Over the tasks t1, t2" in text and "Without findings: t3: a content filter" in text


@pytest.mark.parametrize(
    "scores, kind",
    [((1.0,), "full"), ((0.0,), "fail"), ((0.5,), "partial"), ((0.0, 1.0), "partial"), ((1.0, 1.0), "full")],
)
def test_how_a_task_went(scores, kind):
    assert standing(signal("t", *scores)) == kind


def test_counts_add_up():
    assert summary([signal("a", 1.0), signal("b", 0.3)]) == "Tasks: 2. Full pass: 1. Partial: 1. Fail: 0."
    assert tally([found("a")]) == []


@pytest.mark.parametrize(
    "types, tasks",
    [
        ([VARIANCE], ("t0",)),
        ([VARIANCE, VARIANCE], ("t0", "t1")),
        ([VARIANCE, None], ("t0",)),
        ([VARIANCE, GAP], ()),
        ([VARIANCE, HARD], ()),
        ([None, None], ()),
        ([], ()),
    ],
)
def test_only_variance_asks_for_more_runs(types, tasks):
    assert only_variance([found(f"t{n}", failure_type=one) for n, one in enumerate(types)]) == tasks


def test_a_gap_speaks_against_variance():
    assert only_variance([found("t1", failure_type=VARIANCE, gaps=(CoverageGap(situation="x"),))]) == ()
