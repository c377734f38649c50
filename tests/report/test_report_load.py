"""The tolerant reader: what a killed, resumed or foreign run folder looks like to the report."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from make_run import make_record, make_run
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.report.build import build_report
from cleartrace.report.load import ReportError, load_run


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return make_run(tmp_path / "demo", trajectories=40, steps=10)


def test_a_whole_run_has_no_notes(run_dir: Path) -> None:
    run = load_run(run_dir)
    assert (run.name, len(run.records), len(run.metrics), run.notes) == ("demo", 40, 11, ())


@pytest.mark.parametrize("name", ["metrics.jsonl", "trajectories.jsonl"])
def test_a_cut_last_line_is_skipped_counted_and_shown(run_dir: Path, name: str) -> None:
    text = (run_dir / name).read_bytes()
    (run_dir / name).write_bytes(text[:-20])
    lines = text.count(b"\n")
    (note,) = load_run(run_dir).notes
    assert note.startswith(f"{name}: 1 of {lines} lines skipped: line {lines} (cut off")
    assert f"{name}: 1 of {lines} lines skipped" in build_report(run_dir).read_text()


def test_bad_lines_in_the_middle_are_named(run_dir: Path) -> None:
    path = run_dir / "trajectories.jsonl"
    lines = path.read_text().splitlines()
    row = json.loads(lines[1])
    del row["question"]
    lines[1:3] = [json.dumps(row), "{nonsense"]
    path.write_text("\n".join(lines) + "\n")
    run = load_run(run_dir)
    assert len(run.records) == 38
    assert "2 of 40 lines skipped: line 2 (question: Field required); line 3 (Invalid JSON" in run.notes[0]


def test_an_unknown_schema_version_stops_with_advice(run_dir: Path) -> None:
    path = run_dir / "trajectories.jsonl"
    path.write_text(path.read_text().replace('"schema_version":1', '"schema_version":7', 1))
    with pytest.raises(ReportError, match=r"line 1: schema_version 7 is not known .* version 1"):
        load_run(run_dir)
    done = CliRunner().invoke(app, ["report", str(run_dir)])
    assert done.exit_code == 2
    assert "schema_version 7" in done.stderr


def test_missing_files_give_a_partial_report_or_a_clear_error(run_dir: Path) -> None:
    (run_dir / "config.yaml").unlink()
    (run_dir / "metrics.jsonl").unlink()
    page = build_report(run_dir).read_text()
    assert "config.yaml is missing" in page and "metrics.jsonl is missing; this report is partial" in page
    (run_dir / "trajectories.jsonl").unlink()
    with pytest.raises(ReportError, match="has nothing to show"):
        load_run(run_dir)
    with pytest.raises(ReportError, match="is not a folder"):
        load_run(run_dir / "absent")


def test_metrics_alone_still_give_a_page(run_dir: Path) -> None:
    (run_dir / "trajectories.jsonl").unlink()
    page = build_report(run_dir).read_text()
    assert "No trajectory was logged." in page and page.count('class="chart"') == 8


def test_a_resumed_run_counts_nothing_twice(run_dir: Path) -> None:
    path = run_dir / "trajectories.jsonl"
    first = path.read_text().splitlines()[0]
    path.write_text(path.read_text() + first + "\n")
    metrics = run_dir / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"step": 3, "data": {"timing_s/step": 99.0, "loss": NaN}}\n')
    run = load_run(run_dir)
    assert len(run.records) == 40 and "1 rows repeat" in run.notes[0]
    (row,) = [r for r in run.metrics if r.step == 3]
    assert row.data["timing_s/step"] == 99.0 and "critic/score/mean" in row.data and "loss" not in row.data


def test_the_command_prints_the_path(run_dir: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(run_dir)])
    assert done.exit_code == 0
    assert done.stdout.strip() == str(run_dir / "report.html")
    assert not list(run_dir.glob("*.part"))


def test_an_empty_folder_gives_an_error_and_no_traceback(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def test_generated_records_are_valid_rows() -> None:
    record = make_record(random.Random(1))
    assert type(record).model_validate_json(record.model_dump_json()) == record
