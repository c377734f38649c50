"""The recipes of ContextRL: the published values, one factor per baseline, and a dry run of every script."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from cleartrace.losses.context_options import ClipMode, ContextConfig
from cleartrace.pairs.order import OrderPolicy
from cleartrace_verl.compose import compose
from cleartrace_verl.known_keys import leaves
from cleartrace_verl.main import main
from cleartrace_verl.sft import main as sft_main

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "recipe/contextrl"
SCRIPTS = {
    "klear_8b": "agentic_klear",
    "qwen3_8b": "agentic_qwen3_8b",
    "qwen25_vl_7b": "mm_qwen25vl_7b",
    "qwen3_vl_8b": "mm_qwen3vl_8b",
}
GROUP = "actor_rollout_ref.context_rl"
ACTOR = "actor_rollout_ref.actor"


@functools.lru_cache(maxsize=32)
def recipe(experiment: str, *overrides: str) -> DictConfig:
    return compose([f"experiment={experiment}", *overrides], [RECIPE])


def context(config: DictConfig) -> ContextConfig:
    return ContextConfig(**OmegaConf.to_container(config.actor_rollout_ref.context_rl, resolve=True))  # type: ignore[arg-type]


def differences(one: DictConfig, other: DictConfig) -> set[str]:
    keys = {*leaves(one), *leaves(other)}
    return {key for key in keys if str(OmegaConf.select(one, key)) != str(OmegaConf.select(other, key))}


def check(config: DictConfig, expected: dict[str, Any]) -> None:
    assert {key: OmegaConf.select(config, key) for key in expected} == expected


COMMON = {
    "algorithm.adv_estimator": "grpo",
    "algorithm.filter_groups.enable": False,
    "actor_rollout_ref.rollout.n": 8,
    "actor_rollout_ref.rollout.temperature": 1.0,
    "actor_rollout_ref.rollout.top_p": 1.0,
    f"{ACTOR}.use_kl_loss": True,
    f"{ACTOR}.kl_loss_type": "low_var_kl",
    f"{ACTOR}.clip_ratio_low": 0.2,
    f"{ACTOR}.loss_agg_mode": "token-mean",
    f"{ACTOR}.grad_clip": 1.0,
    f"{ACTOR}.optim.lr_scheduler_type": "constant",
    f"{ACTOR}.optim.weight_decay": 0.01,
    "trainer.total_epochs": 3,
    "trainer.n_gpus_per_node": 4,
    "trainer.nnodes": 1,
    "trainer.v1.trainer_mode": "sync",
}
AGENTIC = {
    "data.train_batch_size": 16,
    f"{ACTOR}.ppo_mini_batch_size": 8,
    f"{ACTOR}.optim.lr": 2e-6,
    f"{ACTOR}.kl_loss_coef": 1e-3,
    f"{ACTOR}.clip_ratio_high": 0.28,
    f"{ACTOR}.clip_ratio_c": 10.0,
    "actor_rollout_ref.rollout.multi_turn.max_assistant_turns": 35,
    "actor_rollout_ref.rollout.custom.shell.turn_tokens": 4096,
    "actor_rollout_ref.rollout.tensor_model_parallel_size": 2,
}
MULTIMODAL = {
    "data.train_batch_size": 256,
    "data.max_prompt_length": 16384,
    "data.max_response_length": 4096,
    f"{ACTOR}.ppo_mini_batch_size": 64,
    f"{ACTOR}.optim.lr": 1e-6,
    f"{ACTOR}.kl_loss_coef": 1e-2,
    f"{ACTOR}.clip_ratio_high": 0.3,
    f"{ACTOR}.clip_ratio_c": 3.0,
    f"{GROUP}.mm_processor_kwargs": {"min_pixels": 784, "max_pixels": 1003520},
    "data.mm_processor_kwargs": {"min_pixels": 784, "max_pixels": 1003520},
}
LAMBDA = {"agentic_klear": 0.005, "agentic_qwen3_8b": 0.001, "mm_qwen25vl_7b": 0.005, "mm_qwen3vl_8b": 0.001}


@pytest.mark.parametrize("name", LAMBDA)
def test_an_experiment_has_the_values_of_the_paper(name):
    config = recipe(name)
    check(config, COMMON | (AGENTIC if name.startswith("agentic") else MULTIMODAL))
    options = context(config)
    assert (options.active, options.coef, options.clip, options.clip_mode) == (
        True,
        LAMBDA[name],
        5.0,
        ClipMode.TWO_SIDED,
    )
    assert options.batch_size == (8 if name.startswith("agentic") else 32)
    assert options.order is OrderPolicy.RANDOM
    assert options.max_prompt_length == (32768 if name.startswith("agentic") else 16384)


def test_the_models_of_a_kind_differ_in_model_lambda_and_template_alone():
    named = {
        "trainer.experiment_name",
        "trainer.default_local_dir",
        "cleartrace.run_dir",
        "data.train_files",
        "data.val_files",
    }
    named |= {f"{GROUP}.train_files", f"{GROUP}.val_files", f"{GROUP}.coef", "actor_rollout_ref.model.path"}
    named |= {"actor_rollout_ref.rollout.trace.experiment_name"}
    named |= {"actor_rollout_ref.rollout.prometheus.served_model_name", "critic.model.tokenizer_path"}
    thinking = {"data.apply_chat_template_kwargs", f"{GROUP}.chat_template_kwargs"}
    thinking |= {f"{key}.enable_thinking" for key in thinking}
    assert differences(recipe("agentic_klear"), recipe("agentic_qwen3_8b")) <= named | thinking
    assert differences(recipe("mm_qwen25vl_7b"), recipe("mm_qwen3vl_8b")) <= named


def test_qwen3_answers_and_reads_pairs_without_thinking():
    config = recipe("agentic_qwen3_8b")
    assert config.data.apply_chat_template_kwargs == {"enable_thinking": False}
    assert context(config).chat_template_kwargs == {"enable_thinking": False}


@pytest.mark.parametrize(("name", "overlay"), [("agentic_klear", "rl_matched"), ("mm_qwen3vl_8b", "da_rl")])
def test_a_baseline_differs_in_data_and_the_switch_alone(name, overlay):
    plain, baseline = recipe(name), recipe(name, f"overlay={overlay}")
    assert differences(plain, baseline) - {"trainer.default_local_dir"} == {
        "cleartrace.run_dir",
        "data.train_files",
        f"{GROUP}.enable",
    }
    assert not context(baseline).active
    assert baseline.data.train_files == f"data/contextrl/{name}/{overlay}.parquet"


def test_the_released_script_of_klear_differs_in_its_own_values_alone():
    scripts = recipe("agentic_klear", "overlay=official_scripts_klear")
    check(scripts, {f"{ACTOR}.kl_loss_coef": 5e-4, "trainer.total_epochs": 2, f"{GROUP}.coef": 0.01})
    check(scripts, {f"{GROUP}.order": "fixed", f"{GROUP}.answer_prefix": "The correct option is"})
    changed = {"kl_loss_coef", "total_epochs", "coef", "order", "answer_prefix"}
    assert {key.rpartition(".")[2] for key in differences(recipe("agentic_klear"), scripts)} == changed


def test_the_released_script_of_qwen3_keeps_lambda_and_epochs():
    scripts = recipe("agentic_qwen3_8b", "overlay=official_scripts")
    assert {key.rpartition(".")[2] for key in differences(recipe("agentic_qwen3_8b"), scripts)} == {
        "kl_loss_coef",
        "order",
    }


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_starts_its_experiment_and_passes_its_arguments_on(script):
    lines = (RECIPE / f"{script}.sh").read_text().splitlines()
    assert lines[:1] + [line for line in lines if line.startswith("set")] == [
        "#!/usr/bin/env bash",
        "set -euo pipefail",
    ]
    assert lines[-1].endswith(f'-m cleartrace_verl.main --recipe recipe/contextrl experiment={SCRIPTS[script]} "$@"')
    assert f"bash recipe/contextrl/{script}.sh" in "\n".join(lines)


@pytest.mark.parametrize("name", SCRIPTS.values())
def test_every_experiment_dry_runs_here_and_says_what_is_missing(name, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    assert main(["--dry-run", "--recipe", "recipe/contextrl", f"experiment={name}"]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "veRL or cleartrace reads every key" in said
    assert f"data/contextrl/{name}/tasks.parquet" in said
    assert f"data/contextrl/{name}/pairs.jsonl" in said


def test_da_sft_dry_runs_for_every_experiment(monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    for name in SCRIPTS.values():
        assert sft_main(["--dry-run", "--recipe", "recipe/contextrl/sft", f"experiment={name}"]) == 0
        assert f"data/contextrl/{name}/da_sft.parquet" in " ".join(capfd.readouterr().out.split())
        assert recipe(name).actor_rollout_ref.model.path in (RECIPE / f"sft/experiment/{name}.yaml").read_text()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("sweep_lambda", ["context_rl.coef=0.001", "context_rl.coef=0.005", "context_rl.coef=0.01"]),
        ("sweep_fraction", [f"mm_qwen25vl_7b_{share}/pairs.jsonl" for share in ("0.05", "0.15", "0.20", "0.50")]),
    ],
)
def test_a_sweep_runs_each_published_value(script, words, tmp_path):
    """A stand-in for the interpreter writes down what each run is given."""
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/usr/bin/env bash\necho "$@" >> "$LOG"\n')
    python.chmod(0o755)
    copy = tmp_path / "recipe/contextrl"
    (copy / "experiment").mkdir(parents=True)
    (copy / f"{script}.sh").write_text((RECIPE / f"{script}.sh").read_text())
    log = tmp_path / "log"
    command = ["bash", str(copy / f"{script}.sh"), "--dry-run"]
    subprocess.run(command, check=True, env={**os.environ, "LOG": str(log)})
    runs = log.read_text().splitlines()
    assert len(runs) == len(words)
    assert all(word in run and run.endswith("--dry-run") for word, run in zip(words, runs, strict=True))
