"""Rows of a task file at the door."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cleartrace.data.errors import DataError
from cleartrace.evaluate.questions import read_questions


def row(text: str = "1 + 1?", truth: Any = "2", **more: Any) -> dict[str, Any]:
    return {
        "data_source": "math",
        "prompt": [{"role": "user", "content": text}],
        "reward_model": {"style": "rule", "ground_truth": truth},
        **more,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_rows_of_several_files_are_counted_through(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.parquet", [row("a"), row("b")]), write(tmp_path / "b.parquet", [row("c")])]
    assert [(q.row, q.uid) for q in read_questions(files)] == [(0, "0"), (1, "1"), (2, "2")]


def test_the_same_content_has_the_same_id_in_every_order(tmp_path: Path) -> None:
    """D50: ids are content, so a shuffled file selects the same samples."""
    rows = [row(str(i)) for i in range(20)]
    before = read_questions([write(tmp_path / "a.parquet", rows)])
    random.Random(0).shuffle(rows)
    after = read_questions([write(tmp_path / "b.parquet", rows)])
    texts = [{q.sample_id: q.fields["raw_prompt"][0]["content"] for q in found} for found in (before, after)]
    assert texts[0] == texts[1] and len(texts[0]) == 20


def test_a_file_for_both_arms_asks_each_question_once(tmp_path: Path) -> None:
    rows = [row(text, agent_name=arm) for arm in ("saar_eval_off", "saar_eval_on") for text in ("a", "b")]
    found = read_questions([write(tmp_path / "a.parquet", rows)])
    assert [(q.row, q.repeats) for q in found] == [(0, (2,)), (1, (3,))]


def test_one_id_for_two_contents_is_refused(tmp_path: Path) -> None:
    rows = [row("a", extra_info={"sample_id": "x"}), row("b", extra_info={"sample_id": "x"})]
    with pytest.raises(DataError, match="sample x, row 1, column extra_info.sample_id: .*differ in raw_prompt"):
        read_questions([write(tmp_path / "a.parquet", rows)])


@pytest.mark.parametrize(
    ("info", "column", "wanted"),
    [({"question_id": "q7", "index": 3}, None, "q7"), ({"index": 3}, None, "3"), ({}, "abc", "abc"), ({}, None, "")],
)
def test_where_a_question_id_comes_from(tmp_path: Path, info: dict, column: str | None, wanted: str) -> None:
    path = write(tmp_path / "a.parquet", [row(extra_info=json.dumps(info), question_id=column)])
    assert read_questions([path])[0].question_id == wanted


def test_limit_counts_questions_not_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [row("a"), row("a"), row("b"), row("c")])
    assert [q.repeats for q in read_questions([path], limit=2)] == [(1,), ()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": None}, "row 1, column prompt: expected chat messages"),
        (
            {"reward_model": {"style": "rule", "ground_truth": None}},
            "row 1, column reward_model: ground_truth is empty",
        ),
        ({"data_source": ""}, "row 1, column data_source"),
    ],
)
def test_bad_cells_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "a.parquet", [row(), {**row("other"), **change}])
    with pytest.raises(DataError, match=message):
        read_questions([path])


def test_missing_files_and_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none.parquet"):
        read_questions([tmp_path / "none.parquet"])
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"question": ["?"]}), path)
    with pytest.raises(DataError, match="prompt.*it has question"):
        read_questions([path])
