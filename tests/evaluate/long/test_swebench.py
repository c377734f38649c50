"""Predictions for the SWE-bench harness: what git apply would refuse is refused here, and git agrees."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.data.errors import DataError
from cleartrace.evaluate.long.swebench import check_patch, export

OLD = "def add(a, b):\n    return a - b\n\n\ndef sub(a, b):\n    return a - b\n"
ID, OTHER = "django__django-11099", "sympy__sympy-20590"


@pytest.fixture
def patch(tmp_path: Path) -> str:
    """A diff that git itself wrote: two files, two hunks, no line break at the end of one."""
    folder = tmp_path / "repository"
    folder.mkdir()

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout

    git("init", "-q")
    (folder / "calc.py").write_text(OLD)
    git("add", ".")
    (folder / "calc.py").write_text(OLD.replace("return a - b", "return a + b", 1) + "\nPI = 3")
    (folder / "new.py").write_text("x = 1\n")
    git("add", "-N", ".")
    return git("diff")


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_predictions_by_the_command_line(patch: str, tmp_path: Path) -> None:
    rows = write(
        tmp_path / "patches.jsonl", [{"instance_id": ID, "patch": patch}, {"instance_id": OTHER, "patch": None}]
    )
    tasks = write(tmp_path / "tasks.jsonl", [{"instance_id": name} for name in (ID, OTHER, "psf__requests-1")])
    for name in ("predictions.jsonl", "predictions.json"):
        out = tmp_path / name
        words = ["bench", "swebench-predictions", "--patches", str(rows), "--tasks", str(tasks), "--out", str(out)]
        done = CliRunner().invoke(app, [*words, "--model-name", "ours"])
        assert done.exit_code == 0 and "2 predictions, 1 of them empty, 1 tasks without one" in done.output, done.output
        text = out.read_text()
        written = json.loads(text) if out.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
        assert written == [
            {"instance_id": ID, "model_name_or_path": "ours", "model_patch": patch},
            {"instance_id": OTHER, "model_name_or_path": "ours", "model_patch": ""},
        ]


def test_files_of_mini_swe_agent_are_read(patch: str, tmp_path: Path) -> None:
    keyed = tmp_path / "preds.json"
    keyed.write_text(json.dumps({ID: {"model_name_or_path": "x", "instance_id": ID, "model_patch": patch}}))
    trajectory = tmp_path / "one.traj.json"
    trajectory.write_text(json.dumps({"instance_id": OTHER, "info": {"submission": patch}, "messages": []}))
    done = export([keyed, trajectory], None, "ours", tmp_path / "out.jsonl")
    assert [row.model_patch for row in done.predictions] == [patch, patch]


def test_a_patch_that_git_writes_passes_and_what_git_refuses_of_it_does_not(patch: str) -> None:
    check_patch("here", patch)
    lines = patch.splitlines(keepends=True)
    cuts = ["".join(lines[:kept]) for kept in range(1, len(lines))]
    refused = [cut for cut in cuts if not git_reads(cut)]
    assert len(refused) > 10
    for cut in refused:
        with pytest.raises(DataError):
            check_patch("here", cut)


def git_reads(text: str) -> bool:
    return subprocess.run(["git", "apply", "--numstat"], input=text, capture_output=True, text=True).returncode == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("I fixed it.\n", "no [+]{3} line"),
        ("--- a/x\n+++ b/x\n", "has no hunk"),
        ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b", "does not end in a line break"),
        ("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n-a\n+b\n", "shorter or longer than its header"),
        ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n-c\n+b\n", "shorter or longer than its header"),
        ("--- a/x\n+++ b/x\n@@ what @@\n-a\n", "is no hunk header"),
    ],
)
def test_what_git_would_call_corrupt(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_patch("here", text)
    assert not git_reads(text)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"instance_id": "django-11099", "patch": ""}], "not of the form"),
        ([{"instance_id": ID, "patch": ""}] * 2, "there twice"),
        ([{"instance_id": "a__b-1", "patch": ""}], "predictions are for other tasks, such as a__b-1"),
        ([{"patch": ""}], "there is no instance_id"),
        ([{"instance_id": ID, "patch": 3}], "the patch is a int"),
    ],
)
def test_wrong_rows_are_named_and_nothing_is_written(rows: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    tasks = write(tmp_path / "tasks.jsonl", [{"instance_id": ID}])
    with pytest.raises(DataError, match=message):
        export([write(tmp_path / "patches.jsonl", rows)], tasks, "ours", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
