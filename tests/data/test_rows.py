"""Task rows and their parquet files."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from cleartrace.data.rows import TaskRow, sample_id_of, task_row
from cleartrace.data.tasks import Split, generate_tasks
from tests.data.task_files import write_tasks


def test_parquet_has_the_columns_of_the_rl_data_set(tmp_path: Path) -> None:
    rows = pq.read_table(write_tasks(tmp_path / "tasks" / "train.parquet", 24, seed=1)).to_pylist()
    assert len(rows) == 24
    row = rows[5]
    assert set(row) == {"data_source", "prompt", "ability", "reward_model", "extra_info", "agent_name"}
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    assert row["prompt"][1]["content"] == row["extra_info"]["question"]
    assert row["reward_model"]["style"] == "rule"
    assert row["data_source"] == f"cleartrace/{row['extra_info']['family']}"
    assert row["extra_info"]["index"] == 5
    assert row["extra_info"]["split"] == "train"


def test_files_are_reproducible_and_disjoint(tmp_path: Path) -> None:
    tables = {split: pq.read_table(write_tasks(tmp_path / split.value, 36, 2, split)) for split in Split}
    for split, table in tables.items():
        assert table.equals(pq.read_table(write_tasks(tmp_path / "again", 36, 2, split)))
    ids = {split: {row["extra_info"]["sample_id"] for row in table.to_pylist()} for split, table in tables.items()}
    assert not ids[Split.TRAIN] & ids[Split.HELD_OUT]
    assert len(ids[Split.TRAIN]) == 36


def test_sample_id_depends_on_content_only() -> None:
    task = generate_tasks(1, 0, Split.TRAIN)[0]
    assert task_row(task, 0).sample_id == task_row(task, 99).sample_id
    assert sample_id_of("a", "b", "c") != sample_id_of("a", "bc", "")
    assert sample_id_of("cleartrace/product", "q", "1") == "a67a3b67b9618d30"


def test_an_unknown_field_is_refused() -> None:
    row = task_row(generate_tasks(1, 0, Split.TRAIN)[0], 0).model_dump()
    with pytest.raises(ValidationError, match="colour"):
        TaskRow.model_validate({**row, "colour": "red"})
