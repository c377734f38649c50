"""The validator finds what would spoil a run, row by row, and says nothing of files that are right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.data.findings import FileReport, Kind, Severity
from cleartrace.data.grade_checks import Grader, reward_grader
from cleartrace.data.names import Profile
from cleartrace.data.prepare import Plan, prepare
from cleartrace.data.row_checks import leak, schema_errors
from cleartrace.data.validate import Checks, validate
from tests.data.sources import AIME_2024, GPQA, MATH, SCIENCE, chat, write
from tests.data.task_files import write_tasks

DOUBLE = "print(2 * int(input()))"


def report_of(path: Path, grade: Grader | None = None, **more: Any) -> FileReport:
    (report,) = validate([path], Checks(grade or reward_grader(None), **more))
    return report


def found(report: FileReport) -> list[tuple[Kind, int | None]]:
    return [(finding.kind, finding.row) for finding in report.findings]


def program(question: str, truth: Any, reference: str | None = None) -> dict[str, Any]:
    return chat("train-code-taco-easy", question, truth, extra_info={"reference_solution": reference})


def test_prepared_and_generated_files_are_right(tmp_path: Path) -> None:
    for profile, raw in ((Profile.AIME, AIME_2024), (Profile.GPQA, GPQA), (Profile.PREWRAPPED, MATH)):
        prepare(write(tmp_path / "in.parquet", [raw]), tmp_path / "out.parquet", Plan(profile, agents=("a", "b")))
        report = report_of(tmp_path / "out.parquet")
        assert report.findings == [] and (report.rows, report.graded) == (2, 2)
    report = report_of(write_tasks(tmp_path / "tasks.parquet", 70, seed=0))
    assert report.number(Severity.ERROR) == 0 and report.graded == 70


@pytest.mark.parametrize(
    ("change", "column", "message"),
    [
        ({"data_source": None}, "data_source", "valid string"),
        ({"prompt": []}, "prompt", "at least 1 item"),
        ({"prompt": [{"role": "user", "content": None}]}, "prompt.0.content", "valid string"),
        ({"prompt": [{"role": "assistant", "content": "x"}]}, "prompt", "last message is of role 'assistant'"),
        ({"reward_model": {"style": "rule"}}, "reward_model.ground_truth", "Field required"),
        ({"reward_model": {"ground_truth": None}}, "reward_model.ground_truth", "is empty, so no answer can be graded"),
        ({"reward_model": '{"ground_truth": "2"}'}, "reward_model", "text where veRL reads a struct"),
        ({"extra_info": "{}"}, "extra_info", "text where veRL reads a struct"),
        ({"agent_name": ""}, "agent_name", "at least 1 character"),
    ],
)
def test_columns_veRL_could_not_read(change: dict[str, Any], column: str, message: str) -> None:
    ((where, said),) = schema_errors({**MATH, **change})
    assert where == column and message in said


def test_a_bad_row_does_not_hide_the_next(tmp_path: Path) -> None:
    rows = [MATH, {**MATH, "prompt": None}, {**MATH, "data_source": ""}, {**MATH, "reward_model": None}]
    report = report_of(write(tmp_path / "f.parquet", rows))
    assert found(report) == [(Kind.SCHEMA, 1), (Kind.SCHEMA, 2), (Kind.SCHEMA, 3)]
    assert [finding.column for finding in report.findings] == ["prompt", "data_source", "reward_model"]
    assert (report.rows, report.graded) == (4, 1)


def test_a_raw_file_is_sent_to_prepare(tmp_path: Path) -> None:
    report = report_of(write(tmp_path / "raw.parquet", [AIME_2024]))
    (finding,) = report.findings
    assert finding.kind is Kind.SCHEMA and finding.column == "prompt, reward_model"
    assert "data_source, Problem, Answer, ID" in finding.message and "cleartrace data prepare" in finding.message


def test_gold_answers_that_the_grader_refuses(tmp_path: Path) -> None:
    rows = [
        chat("gpqa_diamond", "Which?", "H2"),
        chat("math_dapo", "What is $x$?", "\\frac{1}{2"),
        chat("math_dapo", "What are the roots?", '["1", "2"]'),
    ]
    report = report_of(write(tmp_path / "f.parquet", rows))
    assert (Kind.UNGRADED, 0) in found(report) and "not an option letter" in report.findings[0].message
    # A brace that never closes ends in no box, so no answer could be right.
    assert (Kind.GOLD_FAILS, 1) in found(report)
    assert (Kind.ODD_KEY, 2) in found(report)


def test_a_grader_that_takes_an_empty_answer_is_found(tmp_path: Path) -> None:
    async def generous(source: str, response: str, truth: Any, info: Mapping[str, Any]) -> dict[str, Any]:
        return {"acc": True, "ungraded": False, "error": ""}

    async def broken(source: str, response: str, truth: Any, info: Mapping[str, Any]) -> dict[str, Any]:
        return {"acc": False, "ungraded": True, "error": "the judge is gone"}

    path = write(tmp_path / "f.parquet", [MATH])
    assert found(report_of(path, generous)) == [(Kind.EMPTY_PASSES, 0)]
    report = report_of(path, broken)
    assert found(report) == [(Kind.UNGRADED, 0)] and report.findings[0].message == "the judge is gone"
    assert report.graded == 0


def test_repeats_within_a_file_and_between_files(tmp_path: Path) -> None:
    first = write(tmp_path / "train.parquet", [MATH, SCIENCE, MATH])
    again = {**MATH, "data_source": "AIME2024", "prompt": [{"role": "user", "content": MATH["prompt"][0]["content"]}]}
    second = write(
        tmp_path / "test.parquet", [{**again, "prompt": [{"role": "user", "content": "Something else?"}]}, again]
    )
    train, test = validate([first, second], Checks(reward_grader(None)))
    assert found(train) == [(Kind.DUPLICATE, 2)] and "is in row 0 already" in train.findings[0].message
    assert found(test) == [(Kind.OTHER_FILE, 1)] and f"row 0 of {first}" in test.findings[0].message
    assert test.number(Severity.ERROR) == 0


@pytest.mark.parametrize(
    ("prompt", "key", "shown"),
    [
        ("Is it true that the answer is 7?", "7", True),
        ("Answer: $7$. Explain.", "7", True),
        ("Show \\boxed{ 7 }.", "7", True),
        ("Show \\boxed{x+1}.", "x + 1", True),
        ("Compute 3 + 4 with 7 digits.", "7", False),
        ("The year is 2024.", "2024", True),
        ("The number 20245 is odd.", "2024", False),
        ("The answer is 70.", "7", False),
        ("The answer is 7.5.", "7", False),
    ],
)
def test_leaks(prompt: str, key: str, shown: bool) -> None:
    assert bool(leak(chat("math_dapo", prompt, key), key)) is shown


@pytest.mark.parametrize(
    ("source", "prompt", "key"),
    [
        ("gpqa_diamond", "The answer is A, B, C or D?", "A"),
        ("context_selection", "The answer is A or B?", "A"),
        ("short_answer", "The answer is kitchen. Where is it?", "kitchen"),
    ],
)
def test_what_is_chosen_from_the_prompt_is_no_leak(tmp_path: Path, source: str, prompt: str, key: str) -> None:
    assert found(report_of(write(tmp_path / "f.parquet", [chat(source, prompt, key)]))) == []


def test_only_the_first_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "f.parquet", [MATH, SCIENCE, {**MATH, "data_source": ""}])
    report = report_of(path, first_rows=2)
    assert report.rows == 2 and report.findings == []


def test_the_command_runs_programs_on_a_judge_of_its_own(tmp_path: Path) -> None:
    rows = [
        program("Double n.", {"inputs": ["2\n", "5\n"], "outputs": ["4\n", "10\n"]}, DOUBLE),
        program("Halve n.", {"inputs": ["2\n"], "outputs": ["1\n"]}, DOUBLE),
        program("Say nothing.", {"inputs": [""], "outputs": [""]}),
        program("Broken.", {"inputs": ["2\n"], "outputs": []}),
        program("Add.", {"inputs": ["1\n2"], "outputs": ["3"], "fn_name": "add"}),
    ]
    rows = [{**row, "reward_model": {"ground_truth": json.dumps(row["reward_model"]["ground_truth"])}} for row in rows]
    path, output = write(tmp_path / "f.parquet", rows), tmp_path / "findings.jsonl"
    done = CliRunner().invoke(app, ["data", "validate", str(path), "--output", str(output)])
    assert done.exit_code == 1, done.output
    findings = [json.loads(line) for line in output.read_text().splitlines()]
    assert [(finding["kind"], finding["row"]) for finding in findings] == [
        ("reference_fails", 1),
        ("empty_passes", 2),
        ("tests", 3),
    ]
    assert "1 inputs but 0 outputs" in findings[2]["message"] and findings[2]["severity"] == "error"
    assert "2 programs without a reference solution" in done.output
    assert "the length of prompts (--tokenizer)" in done.output


def test_the_command_says_when_all_is_well(tmp_path: Path) -> None:
    path = write(tmp_path / "f.parquet", [MATH, SCIENCE])
    done = CliRunner().invoke(app, ["data", "validate", str(path)])
    assert done.exit_code == 0, done.output
    ungraded = CliRunner().invoke(app, ["data", "validate", str(path), "--no-grade"])
    assert ungraded.exit_code == 0 and "no answer was graded" in ungraded.output
    missing = CliRunner().invoke(app, ["data", "validate", str(tmp_path / "none.parquet")])
    assert missing.exit_code == 2 and "no such file" in missing.output


def test_many_findings_are_cut_short(tmp_path: Path) -> None:
    path = write(tmp_path / "f.parquet", [{**MATH, "data_source": ""} for _ in range(14)])
    done = CliRunner().invoke(app, ["data", "validate", str(path)])
    assert done.exit_code == 1
    assert done.output.count("error: ") == 11 and "4 more rows" in done.output
