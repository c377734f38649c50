"""Generated tasks as the two parquet files of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cleartrace.data.rows import TaskRow, task_row, write_rows
from cleartrace.data.tasks import Split
from cleartrace.data.tasks.pool import generate_tasks

TRAIN_AGENT, EVAL_OFF_AGENT, EVAL_ON_AGENT = "saar_agent", "saar_eval_off", "saar_eval_on"
HELD_OUT_SEED = 20260101
"""Held-out tasks are the same in every run, so that runs can be compared."""


def write(folder: Path, tasks: Any, *, seed: int) -> tuple[Path, Path]:
    """Write `train.parquet` and `val.parquet`; a held-out task appears once per evaluation arm."""
    train = write_rows(_rows(tasks.train, seed, Split.TRAIN), folder / "train.parquet", TRAIN_AGENT)
    held_out = _rows(tasks.held_out, HELD_OUT_SEED, Split.HELD_OUT)
    arms = [EVAL_OFF_AGENT] + ([EVAL_ON_AGENT] if tasks.held_out_with_rollback else [])
    return train, _write_arms(held_out, folder / "val.parquet", arms)


def _rows(n: int, seed: int, split: Split) -> list[TaskRow]:
    return [task_row(task, i) for i, task in enumerate(generate_tasks(n, seed, split))]


def _write_arms(rows: list[TaskRow], path: Path, arms: list[str]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([row.for_verl(arm) for arm in arms for row in rows]), path)
    return path
