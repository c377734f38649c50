"""The LiveCodeBench export: ids, order, length, fences, and what is refused."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from make_outcome import outcome
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.evaluate.lcb import ExportError, Window, custom_outputs, export, question_ids
from cleartrace.evaluate.outcome import RolloutOutcome, Status
from cleartrace.evaluate.store import RolloutStore

IDS = ["abc301_a", "3791", "arc190_b"]


def fence(code: str) -> str:
    return f"So:\n```python\n{code}\n```\nDone."


def rollouts(ids: list[str], n: int = 2, arm: str = "off") -> list[RolloutOutcome]:
    return [outcome(q, i, arm=arm, answer=fence(f"print('{q} {i}')")) for q in ids for i in range(n)]


def write_rollouts(folder: Path, rows: list[RolloutOutcome]) -> Path:
    with RolloutStore(folder, {}) as store:
        for row in rows:
            store.append(row)
    return folder / "rollouts.jsonl"


def write_benchmark(path: Path, ids: list[str], **columns: list[Any]) -> Path:
    pq.write_table(pa.table({"question_id": ids, **columns}), path)
    return path


def pair_as_the_evaluator_does(outputs: Any, benchmark_ids: list[str]) -> dict[str, list[str]]:
    """What LiveCodeBench's custom evaluator (scenario code generation) does with the file before it runs programs."""
    benchmark = sorted(benchmark_ids)
    assert isinstance(outputs, list) and len(outputs) == len(benchmark)
    assert all(isinstance(item, dict) for item in outputs)
    lists = [item["code_list"] for item in sorted(outputs, key=lambda item: str(item["question_id"]))]
    return dict(zip(benchmark, lists, strict=True))


def test_the_evaluator_gives_each_question_its_own_programs(tmp_path: Path) -> None:
    """D52: aligned by question_id, whatever the order of the rollouts and of the benchmark file."""
    source = write_rollouts(tmp_path, list(reversed(rollouts(IDS))))
    assert export(source, write_benchmark(tmp_path / "lcb.parquet", IDS), tmp_path / "o.json", arm="off", n=2) == 3
    outputs = json.loads((tmp_path / "o.json").read_text())
    paired = pair_as_the_evaluator_does(outputs, IDS)
    assert paired == {q: [f"print('{q} 0')\n", f"print('{q} 1')\n"] for q in IDS}
    # Versions of the evaluator that skip their own sorting pair by position, and find the same.
    assert [item["question_id"] for item in outputs] == sorted(IDS)


def test_the_last_fence_counts_and_no_fence_is_an_empty_program() -> None:
    answers = [f"{fence('print(1)')}\n{fence('print(2)')}", "no program", ""]
    rows = [outcome("q", i, answer=text) for i, text in enumerate(answers)]
    assert custom_outputs(rows, ["q"], arm="off", n=3) == [{"question_id": "q", "code_list": ["print(2)\n", "", ""]}]


def test_a_lost_rollout_is_an_empty_program() -> None:
    rows = [outcome("q", 0, answer=fence("print(1)")), outcome("q", 1, status=Status.LOST)]
    assert custom_outputs(rows, ["q"], arm="off", n=2)[0]["code_list"] == ["print(1)\n", ""]


def test_only_the_asked_arm_and_number_are_taken() -> None:
    rows = [*rollouts(["q"], 4), *rollouts(["q"], 4, "on")]
    assert custom_outputs(rows, ["q"], arm="on", n=1) == [{"question_id": "q", "code_list": ["print('q 0')\n"]}]


def test_questions_beyond_the_benchmark_are_left_out() -> None:
    assert [item["question_id"] for item in custom_outputs(rollouts(IDS), ["3791"], arm="off", n=2)] == ["3791"]


def test_missing_questions_are_named() -> None:
    with pytest.raises(ExportError, match=r"1 questions .* have no rollout in arm 'off': abc301_a\. Resume"):
        custom_outputs(rollouts(["3791"]), sorted(["3791", "abc301_a"]), arm="off", n=2)


def test_short_lists_are_named() -> None:
    rows = [*rollouts(["3791"], 10), *rollouts(["abc301_a"], 9)]
    with pytest.raises(ExportError, match="fewer than 10 rollouts in arm 'off': abc301_a"):
        custom_outputs(rows, ["3791", "abc301_a"], arm="off", n=10)


def test_one_id_of_two_samples_is_refused() -> None:
    rows = [outcome("a", 0, question_id="q"), outcome("b", 1, question_id="q")]
    with pytest.raises(ExportError, match="'q' stands for two samples"):
        custom_outputs(rows, ["q"], arm="off", n=2)


def test_ids_that_are_there_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="row 2: question_id 'a' is there twice"):
        question_ids(write_benchmark(tmp_path / "lcb.parquet", ["a", "b", "a"]))


def test_a_file_for_both_arms_holds_each_id_once_per_arm(tmp_path: Path) -> None:
    arms = ["saar_eval_off", "saar_eval_off", "saar_eval_on", "saar_eval_on"]
    path = write_benchmark(tmp_path / "lcb.parquet", ["b", "a", "b", "a"], agent_name=arms)
    assert question_ids(path) == ["a", "b"]


def test_ids_in_extra_info(tmp_path: Path) -> None:
    pq.write_table(pa.table({"extra_info": ['{"question_id": "x"}']}), tmp_path / "lcb.parquet")
    assert question_ids(tmp_path / "lcb.parquet") == ["x"]
    pq.write_table(pa.table({"extra_info": ["{}"]}), tmp_path / "lcb.parquet")
    with pytest.raises(ExportError, match="row 0: no question_id"):
        question_ids(tmp_path / "lcb.parquet")


@pytest.mark.parametrize("as_text", [True, False])
def test_the_date_window(tmp_path: Path, as_text: bool) -> None:
    days = [datetime(2025, month, 1) for month in (1, 2, 5, 6)]
    column = [day.isoformat() for day in days] if as_text else days
    path = write_benchmark(tmp_path / "lcb.parquet", ["jan", "feb", "may", "jun"], contest_date=column)
    assert question_ids(path, Window.parse("2025-02-01", "2025-05-01")) == ["feb", "may"]
    assert len(question_ids(path)) == 4
    with pytest.raises(ExportError, match="no question in the window"):
        question_ids(path, Window.parse("2026-01-01", None))


def test_a_window_needs_dates(tmp_path: Path) -> None:
    path = write_benchmark(tmp_path / "lcb.parquet", ["a"])
    with pytest.raises(ExportError, match="row 0: a window needs contest_date"):
        question_ids(path, Window.parse("2025-02-01", None))
    with pytest.raises(ExportError, match="YYYY-MM-DD"):
        Window.parse("February", None)


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    source, benchmark = write_rollouts(tmp_path, rollouts(IDS)), write_benchmark(tmp_path / "lcb.parquet", IDS)
    words = ["export-lcb", "--rollouts", str(source), "--benchmark", str(benchmark), "--out", str(tmp_path / "o.json")]
    short = CliRunner().invoke(app, words)
    assert short.exit_code == 2 and "fewer than 10 rollouts" in short.output
    assert not (tmp_path / "o.json").exists()
    done = CliRunner().invoke(app, [*words, "--n", "2"])
    assert done.exit_code == 0 and "3 questions, 2 programs each" in done.output
