"""What the stored rows of the study bear out, and what docs/rcl.md says of them (A16, A17, A18)."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import fmean

import pytest

from cleartrace.evaluate.stats import mean_interval
from recipe.rcl.study.runs import CALLS, RUNS, read
from recipe.rcl.study.tables import rows_of

DOCUMENT = " ".join((Path(__file__).resolve().parents[3] / "docs/rcl.md").read_text(encoding="utf-8").split())
PRIMITIVES = (
    "auxiliary",
    "dual-trace",
    "failure-replay",
    "pruning",
    "optimiser-state",
    "batched-reflection",
    "mini-batch",
    "grouped-rollouts",
)


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[3])


@pytest.mark.parametrize("luck", ["1.0", "0.0"])
def test_a16_paired_acceptance_keeps_few_harmful_edits_and_ends_at_least_as_high(luck: str) -> None:
    rows = [row for row in read("acceptance") if row["coupling"] == luck]
    assert len({row["seed"] for row in rows}) == len(rows) == 200
    harmful = sum(int(row["paired_harmful"]) for row in rows)
    assert harmful > 1000 and sum(int(row["paired_kept_harmful"]) for row in rows) < 0.05 * harmful
    for other in ("always", "long"):
        level = sum(float(row["paired_success"]) >= float(row[f"{other}_success"]) for row in rows)
        assert level >= 0.95 * len(rows)


def coverage(method: str, budget: int, luck: str) -> float:
    """Share of the 95 % intervals that hold the true effect."""
    rows = [
        one for one in read("credit") if (one["method"], one["budget"], one["coupling"]) == (method, str(budget), luck)
    ]
    assert len(rows) == 1600
    return fmean(float(one["low"]) <= float(one["true"]) <= float(one["high"]) for one in rows)


def test_a17_the_document_says_how_often_intervals_hold_the_true_effect() -> None:
    cells = [(budget, luck) for budget in (720, 1440) for luck in ("1.0", "0.0")]
    dropout = [100 * coverage("dropout", *cell) for cell in cells]
    assert f"dropout {min(dropout):.1f} to {max(dropout):.1f} %" in DOCUMENT
    one_out = {cell: 100 * coverage("leave_one_out", *cell) for cell in cells}
    assert f"leave-one-out {one_out.pop((720, '1.0')):.1f} % at 720 runs under common luck" in DOCUMENT
    assert f"{min(one_out.values()):.1f} to {max(one_out.values()):.1f} % elsewhere" in DOCUMENT


def against_plain(arm: str, column: str) -> tuple[float, float, float]:
    """Points of test success, paired by seed, with the 95 % interval."""
    rows, plain = rows_of(arm), rows_of("plain")
    assert len(rows) == 200 and rows.keys() == plain.keys()
    mean, low, high = mean_interval([float(rows[seed][column]) - float(plain[seed][column]) for seed in rows])
    return 100 * mean, 100 * low, 100 * high


def test_a18_the_document_names_each_primitive_that_is_worse_alone() -> None:
    told = DOCUMENT.partition("### What was aimed at and is not reached")[2].partition("## Settings")[0]
    rows = re.findall(r"\| ([\w-]+) \| (\d+ \w+) \| (\S+) \[(\S+), (\S+)\] \|", told)
    stated = {(arm, where): tuple(map(float, figures)) for arm, where, *figures in rows}
    places = {f"{RUNS} runs": f"at_{RUNS}", f"{CALLS} calls": "at_calls"}
    found = {(arm, where): against_plain(arm, column) for arm in PRIMITIVES for where, column in places.items()}
    assert stated.keys() == {key for key, (_, _, high) in found.items() if high < 0}
    for key, figures in stated.items():
        assert figures == pytest.approx(found[key], abs=0.051), "rounding"
