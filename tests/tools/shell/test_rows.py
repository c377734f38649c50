"""Published records and generated mutations become rows; the hidden part stays where only the loop reads it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cleartrace.data.errors import DataError
from cleartrace.data.files import read_rows
from cleartrace.tools.shell.__main__ import app
from cleartrace.tools.shell.check import check_task
from cleartrace.tools.shell.local import LocalRuntime
from cleartrace.tools.shell.mutation_rows import packages_for
from cleartrace.tools.shell.rows import AGENT_NAME, Source, from_record, read_tasks, row_of, task_of, write_task_rows
from tests.tools.shell.cases import (
    CONFIG,
    HIDDEN,
    HIDDEN_FILE,
    HIDDEN_TEST,
    RIGHT,
    SECRET,
    SOURCE,
    WRONG,
    small_task,
    write_repository,
)

GYM = {
    "instance_id": "getmoto__moto-5406",
    "repo": "getmoto/moto",
    "base_commit": "87683a786f0d3a0280c92ea01fecce8a3dd4b0fd",
    "problem_statement": "The table ARN has the wrong region.",
    "patch": f"gold {SECRET}",
    "test_patch": f"tests {SECRET}",
    "FAIL_TO_PASS": ["tests/test_a.py::test_x"],
    "PASS_TO_PASS": ["tests/test_a.py::test_y"],
}
SMITH = {
    "instance_id": "tobymao__sqlglot.036601ba.func_pm_remove_cond__4k2hz7nk",
    "repo": "swesmith/tobymao__sqlglot.036601ba",
    "image_name": "jyangballin/swesmith.x86_64.tobymao_1776_sqlglot.036601ba",
    "problem_statement": "A condition is lost.",
    "patch": f"bug {SECRET}",
    "FAIL_TO_PASS": ["tests/test_a.py::test_x", "tests/test_b.py::test_x"],
    "PASS_TO_PASS": ["tests/test_c.py::test_y"],
}


def test_a_swe_gym_record():
    whole = from_record(GYM, Source.SWE_GYM)
    assert whole.task.image == "docker.io/xingyaoww/sweb.eval.x86_64.getmoto_s_moto-5406:latest"
    assert (whole.task.workdir, whole.task.base_commit) == ("/testbed", GYM["base_commit"])
    assert whole.hidden.test_ids == ("tests/test_a.py::test_x", "tests/test_a.py::test_y")
    assert (whole.hidden.gold_patch, whole.hidden.setup_patch, whole.hidden.removed) == (GYM["patch"], "", ())


def test_a_swe_bench_record_has_its_lists_as_text():
    record = {**GYM, "FAIL_TO_PASS": '["a.py::x"]', "PASS_TO_PASS": "[]"}
    whole = from_record(record, Source.SWE_BENCH)
    assert whole.hidden.fail_to_pass == ("a.py::x",)
    assert whole.task.image == "docker.io/swebench/sweb.eval.x86_64.getmoto_1776_moto-5406:latest"


def test_a_swe_smith_patch_makes_the_bug_and_its_tests_are_taken_away():
    whole = from_record(SMITH, Source.SWE_SMITH)
    assert whole.task.image == SMITH["image_name"]
    assert (whole.hidden.setup_patch, whole.hidden.gold_patch) == (SMITH["patch"], "")
    assert whole.hidden.removed == ("tests/test_a.py", "tests/test_b.py")


@pytest.mark.parametrize("record", [GYM, SMITH], ids=["gym", "smith"])
def test_nothing_hidden_is_in_the_prompt_or_beside_it(record):
    whole = from_record(record, Source.SWE_SMITH if record is SMITH else Source.SWE_GYM)
    row = row_of(whole, 0, "train")
    assert SECRET not in json.dumps([row["prompt"], row["extra_info"]])
    assert record["problem_statement"] in row["prompt"][1]["content"]
    assert task_of(row) == whole or task_of(row).hidden == whole.hidden


def test_a_record_of_another_kind_is_refused_with_its_name():
    with pytest.raises(ValueError, match="getmoto__moto-5406: no image_name; is this a swe_smith file"):
        from_record(GYM, Source.SWE_SMITH)
    with pytest.raises(ValueError, match="no FAIL_TO_PASS"):
        from_record({**GYM, "FAIL_TO_PASS": None}, Source.SWE_GYM)


def test_rows_survive_parquet(tmp_path):
    tasks = [from_record(GYM, Source.SWE_GYM), from_record(SMITH, Source.SWE_SMITH)]
    assert write_task_rows(tasks, tmp_path / "out.parquet") == 2
    rows = [row for _, row in read_rows(tmp_path / "out.parquet")]
    assert [task_of(row) for row in rows] == tasks
    assert {row["agent_name"] for row in rows} == {AGENT_NAME}
    assert len({row["extra_info"]["sample_id"] for row in rows}) == 2


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_the_command_writes_rows_from_each_kind_of_file(tmp_path, suffix):
    source = tmp_path / f"tasks{suffix}"
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist([GYM]), source)
    else:
        source.write_text(json.dumps([GYM]) if suffix == ".json" else json.dumps(GYM) + "\n")
    done = CliRunner().invoke(app, ["rows", str(source), str(tmp_path / "out.parquet")])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("1 tasks")


def test_the_command_names_the_row_that_is_wrong(tmp_path):
    source = tmp_path / "tasks.jsonl"
    source.write_text(json.dumps(GYM) + "\n" + json.dumps({"instance_id": "b"}) + "\n")
    done = CliRunner().invoke(app, ["rows", str(source), str(tmp_path / "out.parquet")])
    assert done.exit_code == 2 and "row 1: b: no repo" in done.output
    assert not (tmp_path / "out.parquet").exists()
    done = CliRunner().invoke(app, ["rows", "--skip", str(source), str(tmp_path / "out.parquet")])
    assert done.exit_code == 0 and "left out: b: no repo" in done.output


def mutation_folder(folder: Path) -> dict[str, Any]:
    """What the generator of mutations leaves: a sound repository, and a record whose patch breaks it."""
    repo = "pypi__shapes.00000000"
    write_repository(folder / "repositories" / repo, SOURCE)
    bug = HIDDEN.gold_patch.replace(f"-    {WRONG}\n+    {RIGHT}", f"-    {RIGHT}\n+    {WRONG}")
    record = {
        "instance_id": f"{repo}.func_pm_op_change__12345678",
        "repo": repo,
        "version": "1",
        "patch": bug,
        "FAIL_TO_PASS": list(HIDDEN.fail_to_pass),
        "PASS_TO_PASS": list(HIDDEN.pass_to_pass),
        "problem_statement": "rectangle(2, 3) gives 5.",
        "test_files": {HIDDEN_FILE: HIDDEN_TEST},
    }
    (folder / "tasks.jsonl").write_text(json.dumps(record) + "\n")
    return record


def test_a_mutation_task_is_run_from_its_folder(tmp_path):
    mutation_folder(tmp_path)
    (whole,) = read_tasks(tmp_path / "tasks.jsonl", Source.MUTATION)
    finding = asyncio.run(check_task(LocalRuntime(CONFIG), whole, CONFIG))
    assert finding.sound, finding.line()


def test_a_mutated_package_is_shown_without_its_sound_self():
    assert packages_for("pypi__mdurl.00000000") == ("pytest",)
    jinja = packages_for("pypi__jinja2.00000000")
    assert "markupsafe" in jinja and "jinja2" not in jinja
    with pytest.raises(ValueError, match="tests need packaging unbroken"):
        packages_for("pypi__packaging.00000000")
    with pytest.raises(ValueError, match="not the name of a mutated package"):
        packages_for("owner/name")


def test_a_folder_without_its_repositories_says_so(tmp_path):
    record = mutation_folder(tmp_path)
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "tasks.jsonl").write_text(json.dumps(record))
    with pytest.raises(DataError, match="keep tasks.jsonl beside its repositories"):
        list(read_tasks(other / "tasks.jsonl", Source.MUTATION))


def test_a_row_is_checked_before_anything_runs(tmp_path):
    row = row_of(small_task(tmp_path), 0, "train")
    row["extra_info"]["task"] = "{}"
    with pytest.raises(ValueError, match="is no task for mini_swe_agent"):
        task_of(row)
