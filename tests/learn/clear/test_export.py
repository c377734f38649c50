"""Exported files, and what the trainers that read them need (A25)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from cleartrace.context.providers.written import NOTHING, SYSTEM, guidance_in
from cleartrace.learn.clear.export import write_chat, write_llamafactory, write_sft
from cleartrace.learn.clear.rows import GuidanceRow

SCRIPTS = Path(__file__).parent / "trainers"
TOKENIZER = Path(__file__).parents[3] / "dataset" / "quickstart" / "policy"


def row(name: str, guidance: str) -> GuidanceRow:
    return GuidanceRow(
        environment="world", task_id=name, group=name, task=f"Do {name}.", facts={"day": "Monday"}, guidance=guidance,
        subset=f"{name}#0-1", episodes=("a", "b"), scores=(1.0, 0.0), reflection="r", writer="w",
    )  # fmt: skip


TRAIN = [row("one", "Look first.\nThen pay."), row("two", ""), row("three", "Größe prüfen ✓")]
HELD_OUT = [row("four", "Check.")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_llamafactory(tmp_path, TRAIN, str(TOKENIZER), "qwen3", str(tmp_path / "out"), held_out=HELD_OUT)
    return tmp_path


def test_a25_llamafactory_finds_what_its_loader_needs(folder: Path) -> None:
    info = json.loads((folder / "dataset_info.json").read_text())
    recipe = yaml.safe_load((folder / "sft.yaml").read_text())
    assert (recipe["dataset"], recipe["eval_dataset"]) == tuple(info) and recipe["dataset_dir"] == "."
    for name, about in info.items():
        tags, rows = about["tags"], json.loads((folder / about["file_name"]).read_text())
        assert about["formatting"] == "sharegpt" and about["file_name"] == f"{name}.json"
        assert set(tags) == {"role_tag", "content_tag", "user_tag", "assistant_tag", "system_tag"}
        for one in rows:
            roles = [message[tags["role_tag"]] for message in one[about["columns"]["messages"]]]
            assert roles == [tags["system_tag"], tags["user_tag"], tags["assistant_tag"]]
            assert all(isinstance(message[tags["content_tag"]], str) for message in one["messages"])
    assert json.loads((folder / recipe["deepspeed"]).read_text())["zero_optimization"]["stage"] == 3


def test_a25_the_yaml_holds_the_published_settings_and_no_split_by_row(folder: Path) -> None:
    recipe = yaml.safe_load((folder / "sft.yaml").read_text())
    published = {"stage": "sft", "finetuning_type": "full", "num_train_epochs": 5.0, "warmup_ratio": 0.05, "bf16": True}
    assert {name: recipe[name] for name in published} == published and "val_size" not in recipe
    needed = "model_name_or_path do_train template cutoff_len output_dir per_device_train_batch_size"
    needed += " gradient_accumulation_steps learning_rate lr_scheduler_type"
    assert [name for name in needed.split() if name not in recipe] == []
    alone = yaml.safe_load(write_llamafactory(folder / "x", TRAIN, "m", "qwen3", "o", learning_rate=2e-5).read_text())
    assert "eval_dataset" not in alone and alone["learning_rate"] == 2e-5


def test_a25_chat_rows_are_conversations_as_the_model_is_asked(tmp_path: Path) -> None:
    assert write_chat(tmp_path / "c.jsonl", TRAIN) == 3 == write_sft(tmp_path / "s.parquet", TRAIN)
    chat = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    assert [one["messages"] for one in chat] == [
        one["messages"] for one in pq.read_table(tmp_path / "s.parquet").to_pylist()
    ]
    for one, source in zip(chat, TRAIN, strict=True):
        system, user, assistant = one["messages"]
        assert system == {"role": "system", "content": SYSTEM} and source.task in user["content"]
        assert "Monday" in user["content"] and guidance_in(assistant["content"]) == source.guidance
    assert chat[1]["messages"][-1]["content"] == NOTHING


def read_by(package: str, *words: object) -> dict:
    """What a script prints that runs where the trainer is installed: here, or where a variable says."""
    variable = f"CLEARTRACE_{package.upper()}_PYTHON"
    python = os.environ.get(variable) or (sys.executable if importlib.util.find_spec(package) else "")
    if not python:
        pytest.skip(f"{package} is not installed; name an interpreter that has it in {variable}")
    script = SCRIPTS / f"{package}_loads.py"
    done = subprocess.run([python, script, *map(str, words)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a25_llamafactory_loads_the_export_with_its_own_loader(folder: Path) -> None:
    found = read_by("llamafactory", folder, TOKENIZER)
    assert (found["epochs"], found["warmup"], found["bf16"], found["type"]) == (5.0, 0.05, True, "full")
    for side, rows in (("train", TRAIN), ("held_out", HELD_OUT)):
        learned = sorted(text.replace("<|im_end|>", "").strip() for _, text in found[side])
        assert learned == sorted(one.guidance or NOTHING for one in rows)
        assert all(f"Do {one.task_id}." in "".join(text for text, _ in found[side]) for one in rows)


@pytest.mark.slow
def test_a25_trl_takes_the_chat_rows(tmp_path: Path) -> None:
    write_chat(tmp_path / "train.jsonl", TRAIN)
    write_chat(tmp_path / "held_out.jsonl", HELD_OUT)
    found = read_by("trl", tmp_path, TOKENIZER)
    assert found["held_out"] == 1 and len(found["train"]) == 3 and found["loss"] > 0
    assert all(any(f"Do {one.task_id}." in text for text in found["train"]) for one in TRAIN)
