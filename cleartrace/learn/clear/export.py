"""Guidance rows as training data: chat rows for veRL and TRL, a data set for LLaMA-Factory, prompts for GRPO.

All of them hold the very messages that the provider `Model` sends, so a model is trained on what it will be asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from cleartrace.context.providers.written import NOTHING, SYSTEM, question
from cleartrace.data.files import whole_file, write_json_lines, write_rows
from cleartrace.episodes.types import Task
from cleartrace.learn.clear.rows import GuidanceRow

DATASET = "clear_guidance"
HELD_OUT = "clear_guidance_held_out"
DEEPSPEED = "ds_z3.json"
DATA_SOURCE = "clear_guidance"
"""Rows of this source are scored by running the agent on the task with the guidance."""


def prompt(task: Task) -> list[dict[str, str]]:
    """What a context augmentation model is asked about a task."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question(task)}]


def messages(row: GuidanceRow) -> list[dict[str, str]]:
    """One whole example; an empty guidance is the word with which the model abstains."""
    asked = Task(environment=row.environment, id=row.task_id, input=row.task, group=row.group, metadata=row.facts)
    return [*prompt(asked), {"role": "assistant", "content": row.guidance or NOTHING}]


def write_chat(path: Path, rows: Iterable[GuidanceRow]) -> int:
    """JSON lines {"messages", "task_id", "group", "subset"}, which TRL's SFTTrainer reads."""
    keep = ("task_id", "group", "subset")
    return write_json_lines(path, ({"messages": messages(row), **{k: getattr(row, k) for k in keep}} for row in rows))


def write_sft(path: Path, rows: Iterable[GuidanceRow]) -> int:
    """Parquet with the column `messages`, which `python -m cleartrace_verl.sft` trains on."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema([("messages", pa.list_(message)), ("task_id", pa.string()), ("subset", pa.string())])
    found = ({"messages": messages(row), "task_id": row.task_id, "subset": row.subset} for row in rows)
    return write_rows(path, found, schema)


def write_prompts(path: Path, tasks: Sequence[Task]) -> int:
    """Parquet in veRL's columns. `ground_truth` is the task as JSON: it holds nothing that is known only afterwards."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema(
        [
            ("data_source", pa.string()),
            ("prompt", pa.list_(message)),
            ("ability", pa.string()),
            ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
            ("extra_info", pa.struct([("index", pa.string()), ("question_id", pa.string()), ("split", pa.string())])),
        ]
    )
    return write_rows(path, map(_prompt_row, tasks), schema)


def _prompt_row(task: Task) -> dict[str, Any]:
    name = f"{task.environment}/{task.id}"
    return {
        "data_source": DATA_SOURCE,
        "prompt": prompt(task),
        "ability": "guidance",
        "reward_model": {"style": "rule", "ground_truth": task.canonical()},
        "extra_info": {"index": name, "question_id": name, "split": task.split},
    }


def write_llamafactory(
    folder: Path,
    train: Sequence[GuidanceRow],
    model: str,
    template: str,
    output: str,
    *,
    held_out: Sequence[GuidanceRow] = (),
    **settings: Any,
) -> Path:
    """Data sets, `dataset_info.json`, `ds_z3.json` and `sft.yaml` with the published settings; returns the YAML's path.

    Published: full parameters, 5 epochs, bf16, warm-up 0.05, Qwen3-32B. Not published, and so a choice of ours that
    `settings` replaces: learning rate 1e-5, cosine, batch 1 x 8, 4096 tokens, no thinking. The published `val_size` 0.2
    is not used: its split is by row and puts a task on both sides (A23); the held-out rows are evaluated on instead.
    LLaMA-Factory reads relative paths from the folder where it is started: that has to be `folder`.
    """
    sides = {DATASET: train, HELD_OUT: held_out} if held_out else {DATASET: train}
    for name, rows in sides.items():
        _write_text(folder / f"{name}.json", json.dumps(_conversations(rows), ensure_ascii=False, indent=1))
    _write_text(folder / "dataset_info.json", json.dumps({name: _dataset(name) for name in sides}, indent=1))
    _write_text(folder / DEEPSPEED, json.dumps(_ZERO_3, indent=1))
    evaluated = {"eval_dataset": HELD_OUT, "do_eval": True, "eval_strategy": "epoch"} if held_out else {}
    recipe = {
        "model_name_or_path": model, "stage": "sft", "do_train": True, "finetuning_type": "full",
        "deepspeed": DEEPSPEED, "dataset_dir": ".", "dataset": DATASET, **evaluated,
        "template": template, "enable_thinking": False, "cutoff_len": 4096, "output_dir": output,
        "per_device_train_batch_size": 1, "gradient_accumulation_steps": 8, "learning_rate": 1.0e-5,
        "num_train_epochs": 5.0, "lr_scheduler_type": "cosine", "warmup_ratio": 0.05, "bf16": True, **settings,
    }  # fmt: skip
    _write_text(folder / "sft.yaml", yaml.safe_dump(recipe, sort_keys=False).rstrip("\n"))
    return folder / "sft.yaml"


_ZERO_3 = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "bf16": {"enabled": "auto"},
    "zero_optimization": {"stage": 3, "overlap_comm": True, "stage3_gather_16bit_weights_on_model_save": True},
}
"""DeepSpeed's settings: weights, gradients and optimizer over all GPUs. `auto`: what the YAML says."""


def _conversations(rows: Iterable[GuidanceRow]) -> list[dict[str, Any]]:
    return [{"messages": messages(row)} for row in rows]


def _dataset(name: str) -> dict[str, Any]:
    roles = {role: role.removesuffix("_tag") for role in ("user_tag", "assistant_tag", "system_tag")}
    return {
        "file_name": f"{name}.json",
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {"role_tag": "role", "content_tag": "content", **roles},
    }


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
