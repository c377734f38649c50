"""The recipes of CLEAR: published values, ours where none are published, and a dry run of every script."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cleartrace_verl.compose import compose
from cleartrace_verl.main import main
from cleartrace_verl.sft import compose_sft
from cleartrace_verl.sft import main as sft_main

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "recipe/clear"
SCRIPTS = {"sft_qwen3_32b": ("sft", "recipe/clear/sft"), "grpo_qwen3_32b": ("main", "recipe/clear")}


def check(config, expected):
    assert {key: OmegaConf.select(config, key) for key in expected} == expected


def test_sft_has_the_published_settings():
    published = {"model.path": "Qwen/Qwen3-32B", "trainer.total_epochs": 5, "optim.lr_warmup_steps_ratio": 0.05}
    published |= {"engine.mixed_precision.param_dtype": "bf16", "model.lora_rank": 0, "trainer.n_gpus_per_node": 8}
    config = compose_sft(["experiment=qwen3_32b"], [RECIPE / "sft"])
    check(config, published | {"optim.lr": 1e-5, "data.apply_chat_template_kwargs": {"enable_thinking": False}})


def test_grpo_has_the_published_settings_and_chosen_ones():
    published = {"algorithm.adv_estimator": "grpo", "trainer.total_epochs": 15, "trainer.n_gpus_per_node": 8}
    chosen = {"actor_rollout_ref.rollout.n": 8, "actor_rollout_ref.actor.optim.lr": 1e-6}
    single_turn = {"actor_rollout_ref.rollout.multi_turn.max_assistant_turns": 1}
    config = compose(["experiment=qwen3_32b"], [RECIPE])
    check(config, published | chosen | single_turn)
    assert config.data.apply_chat_template_kwargs == {"enable_thinking": False}, "trained as it is asked"


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_starts_its_experiment_and_passes_its_arguments_on(script):
    module, recipe = SCRIPTS[script]
    lines = (RECIPE / f"{script}.sh").read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash" and "set -euo pipefail" in lines
    assert lines[-1].endswith(f'-m cleartrace_verl.{module} --recipe {recipe} experiment=qwen3_32b "$@"')


@pytest.mark.parametrize("name", ["qwen3_32b", "ruleworld"])
def test_both_phases_dry_run_here_and_say_what_is_missing(name, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    assert sft_main(["--dry-run", "--recipe", "recipe/clear/sft", f"experiment={name}"]) == 0
    assert main(["--dry-run", "--recipe", "recipe/clear", f"experiment={name}"]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert said.count("veRL or cleartrace reads every key") == 2
    if name == "qwen3_32b":
        assert "no file data/clear/train.parquet" in said and "no file data/clear/prompts/train.parquet" in said
