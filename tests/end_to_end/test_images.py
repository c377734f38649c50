"""Multimodal ContextRL with the real trainer: pictures in the rollouts, pictures in the pairs, both families."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText

from recipe.contextrl.tiny.build import Family, build
from recipe.contextrl.tiny.data import write_files
from tests.end_to_end.run_process import ROOT, rows, tail


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_files(folder, 40)
    return folder


def train(run: Path, model: Path, data: Path, *more: str) -> list[dict]:
    files = {
        name: f"{data}/{name}" for name in ("tasks.parquet", "val_tasks.parquet", "pairs.jsonl", "val_pairs.jsonl")
    }
    context = "actor_rollout_ref.context_rl"
    command = [sys.executable, "-m", "cleartrace_verl.main", "--recipe", "recipe/contextrl", "experiment=smoke_images"]
    command += [f"cleartrace.run_dir={run}", f"actor_rollout_ref.model.path={model}"]
    command += [f"data.train_files={files['tasks.parquet']}", f"data.val_files={files['val_tasks.parquet']}"]
    command += [f"{context}.train_files=[{files['pairs.jsonl']}]", f"{context}.val_files=[{files['val_pairs.jsonl']}]"]
    command += ["actor_rollout_ref.actor.checkpoint.save_contents=[model,hf_model]", *more]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "RAY_raylet_start_wait_time_s": "300"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{tail(run / 'train.log')}"
    return [row["data"] for row in rows(run / "metrics.jsonl") if "timing_s/step" in row["data"]]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "packed"), [(Family.QWEN3_VL, True), (Family.QWEN2_5_VL, False)])
def test_two_steps_of_grpo_and_context_loss(family, packed, data, tmp_path):
    model = build(family, tmp_path / "model")
    steps = train(tmp_path / "run", model, data, f"actor_rollout_ref.model.use_remove_padding={str(packed).lower()}")
    assert len(steps) == 2
    for metrics in steps:
        assert metrics["rollback/unspliced_gap_abs_max"] <= 1e-4, "engine and trainer see different pictures or places"
        assert metrics["actor/ca/rows"] == 4 and metrics["actor/ca/dropped"] == 0
        assert metrics["actor/grad_norm"] > 0
    assert steps[-1]["actor/ca/val_pairs"] == 20
    saved = tmp_path / "run/checkpoints/global_step_2/actor/huggingface"
    before = AutoModelForImageTextToText.from_pretrained(model).state_dict()
    after = AutoModelForImageTextToText.from_pretrained(saved, dtype=torch.float32).state_dict()
    vision = [name for name in before if ".visual." in name and name.endswith("weight")]
    assert vision and all(not torch.equal(before[name], after[name]) for name in vision)
    assert (saved / "image_only.py").exists(), "the folder brings its processor"
