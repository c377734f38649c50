"""The study of the rule world resumes run by run, and its tables come from its rows alone."""

import csv

import pytest

from recipe.rcl.study import runs, tables
from recipe.rcl.study.arms import ARMS, BY_NAME
from recipe.rcl.study.bench import learn


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "RESULTS", tmp_path)
    return tmp_path


def test_a_broken_study_goes_on_where_it_was_and_ends_with_equal_files(folder):
    files = ["arm-paired", "arm-grouped-rollouts"]
    list(runs.run_all(runs.missing(files, 2), 1))
    [runs.tidy(file) for file in files]
    whole = [(folder / f"{file}.csv").read_bytes() for file in files]
    (folder / "arm-paired.csv").write_bytes(whole[0][:-20])
    [runs.tidy(file) for file in files]
    assert [(one.file, one.seed) for one in runs.missing(files, 2)] == [("arm-paired", 1)]
    list(runs.run_all(runs.missing(files, 2), 1))
    assert [(folder / f"{file}.csv").read_bytes() for file in files] == whole


def test_runs_stop_at_their_budget_and_count_every_call():
    for name in ("plain", "all", "paired"):
        curve = learn(BY_NAME[name], 3, 60)
        assert curve.points[-2].runs < 60 <= curve.spent.runs == curve.points[-1].runs
        assert curve.spent.calls > curve.spent.runs
        assert all(a.runs < b.runs and a.calls < b.calls for a, b in zip(curve.points, curve.points[1:], strict=False))


def test_every_arm_runs():
    for arm in ARMS:
        assert 0.0 <= learn(arm, 1, 20).points[-1].success <= 1.0


def test_tables_pair_by_seed(folder):
    for arm, ends in (("plain", (0.4, 0.5, 0.6)), ("all", (0.5, 0.61, 0.7))):
        with (folder / f"arm-{arm}.csv").open("w", newline="") as file:
            rows = [
                {"seed": seed, "ceiling": 0.75}
                | {f"at_{at}": end for at in runs.GRID}
                | {"at_calls": end, "runs": 400, "calls": 440, "iterations": 9, "entries": 3}
                for seed, end in enumerate(ends)
            ]
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    row = next(line for line in tables.arm_table().splitlines() if line.startswith("| all "))
    assert "+10.3" in row and "(better)" in row and "67%, 0" in row
