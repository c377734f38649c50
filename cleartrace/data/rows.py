"""Task rows and the parquet files that veRL's RLHF data set reads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from cleartrace.data.tasks import Split, Task

SYSTEM_PROMPT = "Use Python. Put the answer in \\boxed{}."
ABILITY = "tool_math"
AGENT_NAME = "saar_agent"


def sample_id_of(source: str, question: str, answer: str) -> str:
    """Content hash: the same sample has the same id in every file, row order and run."""
    content = json.dumps([source, question, answer], ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def prompt_messages(question: str) -> list[dict[str, str]]:
    """The chat messages a policy starts from."""
    return [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": question}]


class TaskRow(BaseModel):
    """One task as a training row. `sample_id` never depends on position."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample_id: str
    source: str
    question: str
    answer: str
    family: str
    split: Split
    index: int

    def for_verl(self, agent_name: str = AGENT_NAME) -> dict[str, Any]:
        """The columns of veRL's RLHF data set."""
        return {
            "data_source": self.source,
            "prompt": prompt_messages(self.question),
            "ability": ABILITY,
            "reward_model": {"style": "rule", "ground_truth": self.answer},
            "extra_info": {
                "sample_id": self.sample_id,
                "question": self.question,
                "family": self.family,
                "split": self.split.value,
                "index": self.index,
            },
            "agent_name": agent_name,
        }


def task_row(task: Task, index: int) -> TaskRow:
    """Row of a task; `index` is its position in the file."""
    source = f"cleartrace/{task.family}"
    return TaskRow(
        sample_id=sample_id_of(source, task.question, task.answer),
        source=source,
        question=task.question,
        answer=task.answer,
        family=task.family,
        split=task.split,
        index=index,
    )


def write_rows(rows: list[TaskRow], path: Path, agent_name: str = AGENT_NAME) -> Path:
    """Write a parquet file; its folder is made where missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([row.for_verl(agent_name) for row in rows]), path)
    return path
