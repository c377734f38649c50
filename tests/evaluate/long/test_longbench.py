"""LongBench v2: the official file format, requests, letters and scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.data.errors import DataError
from cleartrace.evaluate.long.longbench import parse_choice, prompt, read_answers, read_questions, scores


def row(number: int, **changes: Any) -> dict[str, Any]:
    given = {
        "_id": f"q{number}",
        "domain": "Code",
        "sub_domain": "Repositories",
        "difficulty": "easy",
        "length": "short",
    }
    given |= {"question": f"Which fox {number}?", "answer": "B", "context": "A long text. " * 50}
    return {**given, **{f"choice_{letter}": f"fox {letter}" for letter in "ABCD"}, **changes}


def write(path: Path, rows: Any) -> Path:
    path.write_text(json.dumps(rows))
    return path


ROWS = [row(0), row(1, difficulty="hard", length="long"), row(2, difficulty="hard", answer="C"), row(3, domain="Law")]


def test_requests_and_scores_by_the_command_line(tmp_path: Path) -> None:
    data, out = write(tmp_path / "data.json", ROWS), tmp_path / "requests.jsonl"
    words = ["bench", "longbench-requests", "--data", str(data), "--out", str(out), "--model-name", "m"]
    assert CliRunner().invoke(app, words).exit_code == 0
    requests = [json.loads(line) for line in out.read_text().splitlines()]
    assert [request["custom_id"] for request in requests] == ["q0", "q1", "q2", "q3"]
    assert ROWS[0]["context"] in requests[0]["body"]["messages"][0]["content"]  # whole
    said = {"q0": "It says so. The correct answer is (B).", "q1": "The correct answer is (A)", "q2": "no idea"}
    lines = [
        {"custom_id": q, "response": {"body": {"choices": [{"message": {"content": s}}]}}} for q, s in said.items()
    ]
    lines.append({"custom_id": "q3", "response": None, "error": {"message": "too long"}})
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, lines)))
    words = ["bench", "longbench-score", "--data", str(data), "--answers", str(tmp_path / "answers.jsonl")]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "scores.json")])
    assert done.exit_code == 0, done.output
    table = json.loads((tmp_path / "scores.json").read_text())
    assert (table["all"]["all"]["value"], table["all"]["all"]["unread"]) == (0.25, 2)
    assert {name: share["n"] for name, share in table["length"].items()} == {"long": 1, "short": 3}
    assert table["difficulty"]["easy"]["value"] == 0.5 and table["domain"]["Law"]["value"] == 0


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The correct answer is (C).", "C"),
        ("**The correct answer is D**", "D"),
        ("Answer: A", "A"),
        ("The answer is (A). No: the correct answer is (B)", "B"),
        ("<think>The answer is A</think> The correct answer is (C)", "C"),
        ("(B)", "B"),
        ("(A) or (B)", ""),
        ("", ""),
        ("The correct answer is Apple", ""),
    ],
)
def test_letters(text: str, letter: str) -> None:
    assert parse_choice(text) == letter


def test_how_to_answer_is_an_option(tmp_path: Path) -> None:
    (question,) = read_questions(write(tmp_path / "data.json", [row(0)]))
    direct, reasoned = (prompt(question, reason=reason) for reason in (False, True))
    assert "step by step" in reasoned and "step by step" not in direct
    assert all(f"({letter}) fox {letter}" in direct for letter in "ABCD")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "expected a list of questions"),
        ([row(0, answer="E")], "row 0, column answer"),
        ([row(0, length="huge")], "row 0, column length"),
        ([row(0), {k: v for k, v in row(1).items() if k != "choice_C"}], "row 1, column choice_C"),
        ([row(0), row(0)], "the id 'q0' is there twice"),
    ],
)
def test_a_wrong_file_is_named(rows: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_questions(write(tmp_path / "data.json", rows))


def test_answers_of_another_benchmark_are_refused(tmp_path: Path) -> None:
    questions = read_questions(write(tmp_path / "data.json", ROWS))
    with pytest.raises(DataError, match="1 ids are not in the benchmark, such as q9"):
        scores(questions, {"q0": "B", "q9": "A"})
    (tmp_path / "answers.jsonl").write_text('{"_id": "q0", "response": "B"}\n{"_id": "q0", "response": "C"}\n')
    with pytest.raises(DataError, match="there twice"):
        read_answers(tmp_path / "answers.jsonl")
