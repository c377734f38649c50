"""Files of generated tasks, as the RL data set reads them."""

from __future__ import annotations

from pathlib import Path

from cleartrace.data.rows import task_row, write_rows
from cleartrace.data.tasks import Split, generate_tasks


def write_tasks(path: Path, n: int, seed: int, split: Split = Split.TRAIN) -> Path:
    return write_rows([task_row(task, i) for i, task in enumerate(generate_tasks(n, seed, split))], path)
