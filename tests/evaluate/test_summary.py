"""What a summary counts, and what it never hides (D20)."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest
from make_outcome import outcome
from rich.console import Console

from cleartrace.evaluate.outcome import Status
from cleartrace.evaluate.page import charts, summary_table, write_summary
from cleartrace.evaluate.summary import Summary, summarise

ARMS = ("off", "on")


def arm_of(summary: Summary, source: str, arm: str):
    return next(a for a in summary.arms if (a.source, a.arm) == (source, arm))


def test_the_numbers_of_one_arm() -> None:
    rows = [outcome("a", i, acc=i == 0) for i in range(4)] + [outcome("b", i, acc=True) for i in range(4)]
    only = summarise(rows, {"math": 2}, 4).arms[0]
    assert (only.questions, only.rollouts, only.n, only.missing) == (2, 8, 4, 0)
    assert only.avg.value == pytest.approx((0.25 + 1) / 2)
    assert {k: e.value for k, e in only.pass_at.items()} == pytest.approx({1: 0.625, 2: 0.75, 4: 1.0})
    assert {k: e.value for k, e in only.maj_at.items()} == pytest.approx({1: 0.625, 2: 0.625, 4: 0.5})
    assert only.graded_acc == 5 / 8
    assert only.avg.low < only.avg.value < only.avg.high


def test_spoiled_rollouts_are_failures_and_shown_apart() -> None:
    """A lost, spoiled or ungraded rollout never raises a score, even one that carries acc=True."""
    rows = [
        outcome("a", 0, acc=True),
        outcome("a", 1, acc=True, status=Status.INFRA),
        outcome("a", 2, status=Status.LOST),
        outcome("a", 3, acc=True, status=Status.UNGRADED),
    ]
    only = summarise(rows, {"math": 1}, 6).arms[0]
    assert (only.lost, only.infra, only.ungraded, only.missing) == (1, 1, 1, 2)
    assert only.avg.value == 0.25
    assert only.graded_acc == 1.0
    assert only.pass_at[1].value == 0.25


def test_spoiled_rollouts_do_not_vote() -> None:
    rows = [outcome("a", 0, acc=True), *(outcome("a", i, status=Status.LOST, pred="wrong") for i in (1, 2))]
    assert summarise(rows, {"math": 1}, 3).arms[0].maj_at[3].value == 1.0


def test_all_tokens_and_attempts_are_counted_per_arm() -> None:
    """D20: the arm with rollback shows what its discarded attempts cost."""
    off = [outcome("a", i, arm="off", generated_tokens=100, calls=1, failed_calls=1, kept_failures=1) for i in (0, 1)]
    on = [
        outcome("a", i, True, "on", generated_tokens=150, discarded_tokens=50, calls=2, failed_calls=1, rollbacks=1)
        for i in (0, 1)
    ]
    summary = summarise([*off, *on], {"math": 1}, 2)
    assert [arm.arm for arm in summary.arms] == ["off", "on"]
    cost = arm_of(summary, "math", "on").cost
    assert (cost.generated_tokens, cost.discarded_tokens, cost.calls, cost.rollbacks) == (300, 100, 4, 2)
    assert arm_of(summary, "math", "off").cost.kept_failures == 2
    assert summary.differences[0].avg.value == 1.0
    assert summary.differences[0].tokens_ratio == 1.5


def test_the_difference_is_paired_by_question() -> None:
    rows = []
    for i in range(20):
        rows += [outcome(f"q{i}", 0, acc=i % 2 == 0), outcome(f"q{i}", 0, acc=i % 2 == 0 or i == 1, arm="on")]
    difference = summarise(rows, {"math": 20}, 1).differences[0]
    assert difference.avg.value == pytest.approx(1 / 20)
    # Unpaired, the spread of easy and hard questions would make this interval about six times as wide.
    assert difference.avg.high - difference.avg.low < 0.2


def test_questions_that_agree_leave_the_difference_unknown() -> None:
    rows = [outcome("a", 0, arm=arm) for arm in ("off", "on")]
    assert math.isinf(summarise(rows, {"math": 1}, 1).differences[0].avg.low)


def test_several_sources_get_a_total() -> None:
    rows = [outcome("a", 0, acc=True), outcome("b", 0, data_source="science"), outcome("c", 0, data_source="science")]
    summary = summarise(rows, {"math": 1, "science": 2, "code": 1}, 1)
    assert [arm.source for arm in summary.arms] == ["math", "science", "all"]
    assert arm_of(summary, "all", "off").missing == 1
    assert arm_of(summary, "all", "off").avg.value == pytest.approx(1 / 3)


def test_n_is_that_of_the_question_with_fewest_rollouts() -> None:
    rows = [outcome("a", i, acc=True) for i in range(4)] + [outcome("b", i, acc=False) for i in range(3)]
    only = summarise(rows, {"math": 2}, 4).arms[0]
    assert only.n == 3 and max(only.pass_at) == 3 and only.missing == 1


def test_no_outcome_gives_an_empty_summary(tmp_path: Path) -> None:
    summary = summarise([], {"math": 3}, 4)
    assert summary.arms == () and summary.differences == ()
    assert write_summary(summary, tmp_path).is_file()


def test_the_files_hold_the_numbers(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    rows = [outcome(f"q{i}", k, k <= i, arm, data_source=hostile) for i in range(3) for k in range(4) for arm in ARMS]
    summary = summarise(rows, {hostile: 3}, 4)
    page = write_summary(summary, tmp_path).read_text()
    assert hostile not in page and "Content-Security-Policy" in page and "<svg" in page
    loaded = json.loads((tmp_path / "summary.json").read_text())
    assert loaded["arms"][0]["avg"]["value"] == pytest.approx(summary.arms[0].avg.value)
    lines = list(csv.DictReader((tmp_path / "summary.csv").open()))
    wanted = {(line["rollback"], line["metric"], line["k"]) for line in lines}
    assert wanted >= {("off", "avg", "4"), ("on", "pass", "2"), ("on", "maj", "4"), ("on", "generated_tokens", "")}
    assert not list(tmp_path.glob("*.part"))


def test_the_table_fits_a_terminal() -> None:
    rows = [outcome("a" * 40, k, k == 0, arm, data_source="a-very-long-source-name") for k in range(32) for arm in ARMS]
    text = io.StringIO()
    Console(width=80, file=text).print(summary_table(summarise(rows, {"a-very-long-source-name": 1}, 32)))
    assert "3.1% (0% - 81%)" in text.getvalue() and "+0.0 (unknown)" in text.getvalue()
    assert max(map(len, text.getvalue().splitlines())) <= 80


def test_curves_are_drawn_where_there_are_several_samples() -> None:
    one = summarise([outcome("a", 0)], {"math": 1}, 1)
    assert charts(one) == []
    four = summarise([outcome("a", k) for k in range(4)], {"math": 1}, 4)
    assert [series.label for series in charts(four)[0].series] == ["pass@k, rollback off", "maj@k, rollback off"]
