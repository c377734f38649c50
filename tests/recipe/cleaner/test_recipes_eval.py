"""The evaluation recipes: the published values, every set, both arms, no training step (D20, D52)."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from cleartrace_verl.compose import compose
from cleartrace_verl.main import main

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "recipe/cleaner"
LCB = ["data/lcb.parquet"]
MATH = ["data/gpqa.parquet", "data/aime24.parquet", "data/aime25.parquet"]
PUBLISHED = {
    "eval_qwen3_4b_aime_gpqa": (MATH, 16, "float16", (128, 32, 4), 0.8, "Qwen3-4B"),
    "eval_qwen2_7b_aime_gpqa": (MATH, 32, "bfloat16", (64, 16, 16), 0.75, "Qwen2.5-7B"),
    "eval_qwen3_4b_livecodebench": (LCB, 10, "float16", (128, 32, 1), 0.75, "Qwen3-4B"),
    "eval_qwen2_7b_livecodebench": (LCB, 10, "float16", (128, 32, 1), 0.8, "Qwen2.5-7B"),
}


@pytest.fixture(params=PUBLISHED)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@functools.lru_cache(maxsize=8)
def composed(name: str) -> DictConfig:
    return compose([f"experiment={name}"], [RECIPE])


@pytest.fixture
def config(name: str) -> DictConfig:
    return composed(name)


def test_no_training_step_is_taken(config: DictConfig) -> None:
    """D52: veRL returns after the validation only when both are set."""
    trainer = config.trainer
    assert trainer.val_only and trainer.val_before_train
    assert (trainer.save_freq, trainer.resume_mode) == (-1, "disable")


def test_the_published_values(name: str, config: DictConfig) -> None:
    files, n, dtype, batch, memory, model = PUBLISHED[name]
    rollout, actor = config.actor_rollout_ref.rollout, config.actor_rollout_ref.actor
    assert list(config.data.val_files) == files
    assert (rollout.val_kwargs.n, rollout.val_kwargs.temperature, rollout.val_kwargs.top_p) == (n, 1.0, 0.6)
    assert (config.data.max_prompt_length, config.data.max_response_length) == (4096, 20480)
    assert (rollout.multi_turn.max_user_turns, rollout.multi_turn.max_assistant_turns) == (16, 16)
    assert (rollout.dtype, actor.fsdp_config.dtype) == (dtype, dtype)
    assert (config.data.train_batch_size, actor.ppo_mini_batch_size, rollout.n) == batch
    assert rollout.gpu_memory_utilization == memory
    assert model in config.actor_rollout_ref.model.path
    assert rollout.custom.saar.max_retries == 3
    assert config.trainer.n_gpus_per_node * config.trainer.nnodes == 4


def test_every_row_is_evaluated(config: DictConfig) -> None:
    """No row is dropped for its length, and the training set that the trainer wants is there when the files are."""
    assert config.data.filter_overlong_prompts is False
    assert OmegaConf.to_container(config.data, resolve=True)["train_files"] == list(config.data.val_files)  # type: ignore[index, call-overload]


def test_the_small_run_has_both_arms() -> None:
    """D20: with generated tasks the rows themselves are written for both arms, as `data prepare --arms both` does."""
    tiny = compose(["experiment=eval_qwen3_4b_aime_gpqa", "overlay=tiny"], [RECIPE])
    assert tiny.cleartrace.tasks.held_out_with_rollback and tiny.trainer.val_only


def test_the_dry_run_says_what_is_missing(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--recipe", str(RECIPE), "--dry-run", f"experiment={name}"]) == 0
    said = capfd.readouterr().out
    assert "every key" in said and all(path in said for path in PUBLISHED[name][0])


@pytest.mark.parametrize("script", PUBLISHED)
def test_the_script_runs_its_own_experiment(script: str) -> None:
    assert f'experiment={script} "$@"' in (RECIPE / f"{script}.sh").read_text()


def test_a_script_passes_its_arguments_on() -> None:
    words = ["bash", "recipe/cleaner/eval_qwen3_4b_aime_gpqa.sh", "--dry-run", "actor_rollout_ref.model.path=my/model"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model my/model" in done.stdout


@pytest.mark.slow
def test_an_evaluation_through_the_trainer_trains_nothing(tmp_path: Path) -> None:
    """D52, D20: the real trainer on a CPU validates both arms and returns."""
    words = ["bash", "recipe/cleaner/eval_qwen3_4b_aime_gpqa.sh", "overlay=tiny", f"cleartrace.run_dir={tmp_path}/run"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*words, "actor_rollout_ref.rollout.val_kwargs.n=2"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "run"
    assert [json.loads(line)["event"] for line in (run / "events.jsonl").read_text().splitlines()] == ["validate"]
    assert not (run / "checkpoints").exists()
    rows = [json.loads(line) for line in (run / "trajectories.jsonl").read_text().splitlines()]
    assert Counter((row["split"], row["arm"]) for row in rows) == {("val", "off"): 16, ("val", "on"): 16}
