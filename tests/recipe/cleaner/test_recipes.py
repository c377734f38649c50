"""The training recipes: the published tables, one factor per arm, every scale, and a dry run of every script."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from cleartrace.purify.config import SaarConfig
from cleartrace_verl import preflight
from cleartrace_verl.compose import compose
from cleartrace_verl.known_keys import leaves
from cleartrace_verl.main import main
from cleartrace_verl.sft import main as sft_main

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "recipe/cleaner"
SAAR = "actor_rollout_ref.rollout.custom.saar"
TRAINING = {
    "qwen3_4b_cleaner": "node4",
    "qwen2_7b_cleaner": "node4",
    "qwen3_4b": "node4",
    "qwen2_7b": "node4",
    "qwen3_4b_notool": "node4",
    "qwen2_7b_notool": "node4",
    "demyagent_qwen3_4b": "node8",
    "demyagent_qwen2_7b": "node8",
}
ABLATIONS = {
    "replace": {"policy": "replace"},
    "append": {"policy": "append"},
    "importance": {"policy": "importance"},
    "tolerate": {"policy": "tolerate_first"},
    "corrected": {"correction": "token_is"},
}
SCRIPTS = [*TRAINING, *(f"qwen3_4b_cleaner_{name}" for name in ABLATIONS)]
SFT = ["sft_qwen3_4b", "sft_qwen2_7b", "sft_tiny"]


@functools.lru_cache(maxsize=64)
def recipe(experiment: str, *overrides: str) -> DictConfig:
    return compose([f"experiment={experiment}", *overrides], [RECIPE])


def saar(config: DictConfig) -> SaarConfig:
    return SaarConfig(**OmegaConf.to_container(config.actor_rollout_ref.rollout.custom.saar))  # type: ignore[arg-type]


def differences(one: DictConfig, other: DictConfig) -> set[str]:
    """Keys whose values differ, the experiment's own name aside."""

    def values(config: DictConfig) -> dict[str, str]:
        return {k: str(OmegaConf.select(config, k)).replace(config.trainer.experiment_name, "") for k in leaves(config)}

    left, right = values(one), values(other)
    return {key for key in left.keys() | right.keys() if left.get(key) != right.get(key)}


def check(config: DictConfig, expected: dict[str, Any]) -> None:
    found = {key: OmegaConf.select(config, key) for key in expected}
    assert found == expected


COMMON = {
    "algorithm.adv_estimator": "grpo",
    "algorithm.norm_adv_by_std_in_grpo": True,
    "algorithm.use_kl_in_reward": False,
    "algorithm.kl_ctrl.kl_coef": 0.0,
    "algorithm.filter_groups.enable": False,
    "data.max_prompt_length": 2560,
    "data.max_response_length": 20480,
    "data.filter_overlong_prompts": True,
    "data.truncation": "error",
    "data.return_raw_chat": True,
    "data.prompt_key": "prompt",
    "actor_rollout_ref.actor.clip_ratio_low": 0.2,
    "actor_rollout_ref.actor.clip_ratio_high": 0.28,
    "actor_rollout_ref.actor.clip_ratio_c": 10.0,
    "actor_rollout_ref.actor.loss_agg_mode": "token-mean",
    "actor_rollout_ref.actor.policy_loss.loss_mode": "vanilla",
    "actor_rollout_ref.actor.entropy_coeff": 0.0,
    "actor_rollout_ref.actor.use_kl_loss": False,
    "actor_rollout_ref.actor.kl_loss_coef": 0.0,
    "actor_rollout_ref.actor.ppo_epochs": 1,
    "actor_rollout_ref.actor.strategy": "fsdp2",
    "actor_rollout_ref.actor.fsdp_config.param_offload": True,
    "actor_rollout_ref.actor.fsdp_config.optimizer_offload": True,
    "actor_rollout_ref.actor.fsdp_config.offload_policy": False,
    "actor_rollout_ref.actor.grad_clip": 1.0,
    "actor_rollout_ref.actor.use_dynamic_bsz": True,
    "actor_rollout_ref.actor.ppo_max_token_len_per_gpu": 23040,
    "actor_rollout_ref.actor.optim.weight_decay": 0.01,
    "actor_rollout_ref.actor.optim.lr_scheduler_type": "constant",
    "actor_rollout_ref.actor.optim.lr_warmup_steps": 20,
    "actor_rollout_ref.model.use_remove_padding": True,
    "actor_rollout_ref.model.enable_gradient_checkpointing": True,
    "actor_rollout_ref.model.use_fused_kernels": True,
    "actor_rollout_ref.rollout.n": 16,
    "actor_rollout_ref.rollout.mode": "async",
    "actor_rollout_ref.rollout.data_parallel_size": 1,
    "actor_rollout_ref.rollout.over_sample_rate": 0,
    "actor_rollout_ref.rollout.temperature": 1.0,
    "actor_rollout_ref.rollout.top_p": 1.0,
    "actor_rollout_ref.rollout.top_k": -1,
    "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu": 92160,
    "actor_rollout_ref.rollout.val_kwargs.temperature": 1.0,
    "actor_rollout_ref.rollout.val_kwargs.top_p": 0.6,
    "actor_rollout_ref.rollout.multi_turn.max_user_turns": 16,
    "actor_rollout_ref.rollout.multi_turn.max_assistant_turns": 16,
    "actor_rollout_ref.rollout.multi_turn.format": "hermes",
    "actor_rollout_ref.rollout.multi_turn.max_parallel_calls": 1,
    "actor_rollout_ref.rollout.multi_turn.max_tool_response_length": 256,
    "actor_rollout_ref.rollout.multi_turn.tool_response_truncate_side": "middle",
    "reward.reward_kwargs.overlong_buffer_cfg.enable": True,
    "reward.reward_kwargs.overlong_buffer_cfg.len": 4096,
    "reward.reward_kwargs.overlong_buffer_cfg.penalty_factor": 1.0,
    "reward.reward_kwargs.max_resp_len": 20480,
    "reward.custom_reward_function.reward_kwargs.math_mode": "strict",
    "reward.custom_reward_function.reward_kwargs.graded_text": "response",
    "trainer.nnodes": 1,
    "trainer.test_freq": 10,
}
"""Table 8.1 without what DemyAgent has otherwise."""

CLEANER_SETUP = {
    "data.train_batch_size": 128,
    "actor_rollout_ref.actor.ppo_mini_batch_size": 32,
    "actor_rollout_ref.actor.ulysses_sequence_parallel_size": 1,
    "actor_rollout_ref.actor.fsdp_config.dtype": "float16",
    "actor_rollout_ref.rollout.dtype": "float16",
    "actor_rollout_ref.rollout.name": "sglang",
    "actor_rollout_ref.rollout.tensor_model_parallel_size": 1,
    "actor_rollout_ref.rollout.val_kwargs.n": 16,
    "trainer.n_gpus_per_node": 4,
    "trainer.total_epochs": 1,
}

DEMYAGENT_SETUP = {
    "data.train_batch_size": 64,
    "actor_rollout_ref.actor.ppo_mini_batch_size": 16,
    "actor_rollout_ref.actor.ulysses_sequence_parallel_size": 4,
    "actor_rollout_ref.actor.fsdp_config.dtype": "bfloat16",
    "actor_rollout_ref.actor.optim.lr": 1.0e-6,
    "actor_rollout_ref.rollout.dtype": "bfloat16",
    "actor_rollout_ref.rollout.name": "vllm",
    "actor_rollout_ref.rollout.tensor_model_parallel_size": 4,
    "actor_rollout_ref.rollout.gpu_memory_utilization": 0.75,
    "actor_rollout_ref.rollout.val_kwargs.n": 32,
    f"{SAAR}.enable": False,
    "trainer.n_gpus_per_node": 8,
    "trainer.total_epochs": 3,
    "trainer.save_freq": 30,
    "trainer.val_before_train": True,
    "reward.custom_reward_function.reward_kwargs.turn_bonus": 0.1,
    "reward.custom_reward_function.reward_kwargs.turn_bonus_cap": -0.6,
}

# Table 8.2: model, lr, rollback, p, sampler log-probs, rollout IS, memory, validation before training, save_freq.
PER_SCRIPT = {
    "qwen3_4b_cleaner": ("Gen-Verse/Qwen3-4B-RA-SFT", 2e-6, True, 1.0, False, None, 0.80, True, 10),
    "qwen2_7b_cleaner": ("Gen-Verse/Qwen2.5-7B-RA-SFT", 1e-6, True, 0.7, False, None, 0.80, False, 10),
    "qwen3_4b": ("Gen-Verse/Qwen3-4B-RA-SFT", 2e-6, False, 1.0, True, "sequence", 0.65, False, 10),
    "qwen2_7b": ("Gen-Verse/Qwen2.5-7B-RA-SFT", 1e-6, False, 1.0, True, "sequence", 0.65, False, 10),
    "qwen3_4b_notool": ("Qwen/Qwen3-4B", 2e-6, False, 1.0, True, "sequence", 0.65, False, 100),
    "qwen2_7b_notool": ("Qwen/Qwen2.5-7B", 1e-6, False, 1.0, True, "sequence", 0.65, False, -1),
}
PER_SCRIPT_KEYS = (
    "actor_rollout_ref.model.path",
    "actor_rollout_ref.actor.optim.lr",
    f"{SAAR}.enable",
    f"{SAAR}.probability",
    "actor_rollout_ref.rollout.calculate_log_probs",
    "algorithm.rollout_correction.rollout_is",
    "actor_rollout_ref.rollout.gpu_memory_utilization",
    "trainer.val_before_train",
    "trainer.save_freq",
)


@pytest.mark.parametrize("name", PER_SCRIPT)
def test_the_published_twin_has_every_published_value(name):
    config = recipe(f"{name}_published")
    backend = "torch" if name == "qwen3_4b_notool" else "triton"
    check(config, COMMON | CLEANER_SETUP | dict(zip(PER_SCRIPT_KEYS, PER_SCRIPT[name], strict=True)))
    assert config.actor_rollout_ref.model.fused_kernel_options.impl_backend == backend
    assert config.actor_rollout_ref.rollout.multi_turn.enable is not name.endswith("_notool")
    assert config.data.train_batch_size * config.actor_rollout_ref.rollout.n == 2048


@pytest.mark.parametrize("name", ["demyagent_qwen3_4b", "demyagent_qwen2_7b"])
def test_demyagent_has_its_published_values(name):
    check(recipe(f"{name}_published"), COMMON | DEMYAGENT_SETUP)
    assert differences(recipe(name), recipe(f"{name}_published")) == {
        "actor_rollout_ref.rollout.multi_turn.max_tool_response_length",
        "reward.custom_reward_function.reward_kwargs.math_mode",
        "reward.custom_reward_function.reward_kwargs.graded_text",
    }


@pytest.mark.parametrize("name", ["qwen3_4b_cleaner_published", "qwen2_7b_cleaner_published"])
def test_the_published_saar_is_that_of_the_core(name):
    config = saar(recipe(name))
    assert config == SaarConfig.published(probability=config.probability)


@pytest.mark.parametrize(("baseline", "p"), [("qwen3_4b", 1.0), ("qwen2_7b", 0.7)])
def test_d25_cleaner_and_its_baseline_differ_in_saar_alone(baseline, p):
    plain, cleaner = recipe(baseline), recipe(f"{baseline}_cleaner")
    assert differences(plain, cleaner) == {f"{SAAR}.enable"} | ({f"{SAAR}.probability"} if p < 1 else set())
    assert (saar(cleaner).enable, saar(cleaner).max_retries, saar(cleaner).probability) == (True, 3, p)


@pytest.mark.parametrize(("name", "changed"), ABLATIONS.items())
def test_d25_an_ablation_differs_from_cleaner_in_one_saar_option(name, changed):
    config = recipe(f"qwen3_4b_cleaner_{name}")
    assert differences(recipe("qwen3_4b_cleaner"), config) == {f"{SAAR}.{key}" for key in changed}
    assert all(getattr(saar(config), key) == value for key, value in changed.items())


def test_d25_the_models_of_a_kind_differ_in_model_data_and_rate_alone():
    for kind in ("", "_notool"):
        assert differences(recipe(f"qwen3_4b{kind}"), recipe(f"qwen2_7b{kind}")) - {
            "actor_rollout_ref.rollout.prometheus.served_model_name",
            "critic.model.tokenizer_path",
        } <= {
            "actor_rollout_ref.model.path",
            "data.train_files",
            "actor_rollout_ref.actor.optim.lr",
        }, kind


@pytest.mark.parametrize("name", ["qwen3_4b", "qwen3_4b_cleaner"])
def test_d25_importance_sampling_can_be_had_in_both_arms(name):
    config = recipe(name, "overlay=sequence_is")
    check(
        config,
        {
            "algorithm.rollout_correction.rollout_is": "sequence",
            "algorithm.rollout_correction.rollout_is_threshold": 2.0,
            "actor_rollout_ref.rollout.calculate_log_probs": True,
        },
    )


@pytest.mark.parametrize("name", TRAINING)
def test_the_departures_of_the_readme_are_all_there_are(name):
    """Every default that departs from a published value is listed (section 4.9), and nothing else is."""
    text = (RECIPE / "README.md").read_text()
    section = text.split("## Departures", 1)[1].split("\n## ", 1)[0]
    listed = set(re.findall(r"^\| `([\w.]+)` \|", section, re.M))
    found = {key.removeprefix("actor_rollout_ref.") for key in differences(recipe(name), recipe(f"{name}_published"))}
    assert found <= listed
    twins = [differences(recipe(n), recipe(f"{n}_published")) for n in TRAINING]
    assert listed == {key.removeprefix("actor_rollout_ref.") for twin in twins for key in twin}


MACHINE_BOUND = {
    "actor_rollout_ref.rollout.name": "embedded",
    "actor_rollout_ref.rollout.dtype": "float32",
    "actor_rollout_ref.rollout.tensor_model_parallel_size": 1,
    "actor_rollout_ref.actor.ulysses_sequence_parallel_size": 1,
    "actor_rollout_ref.model.fused_kernel_options.impl_backend": "torch",
    "actor_rollout_ref.actor.fsdp_config.dtype": "bfloat16",
    "trainer.device": "cpu",
}


@pytest.mark.parametrize("name", ["qwen3_4b_cleaner_importance", "qwen2_7b_notool", "demyagent_qwen2_7b"])
def test_a_recipe_written_for_gpus_composes_for_a_cpu_too(name):
    check(recipe(name, "scale=cpu"), MACHINE_BOUND)


def test_one_gpu_holds_one_shard():
    config = recipe("demyagent_qwen3_4b", "scale=gpu1")
    check(
        config,
        {
            "actor_rollout_ref.rollout.tensor_model_parallel_size": 1,
            "actor_rollout_ref.actor.ulysses_sequence_parallel_size": 1,
            "actor_rollout_ref.rollout.name": "vllm",
        },
    )


@pytest.mark.parametrize(("scale", "gpus", "nodes"), [("node4", 4, 1), ("cluster", 8, 2)])
def test_the_scale_of_a_recipe_can_be_chosen(scale, gpus, nodes):
    config = recipe("demyagent_qwen2_7b", f"scale={scale}")
    assert (config.trainer.n_gpus_per_node, config.trainer.nnodes) == (gpus, nodes)
    assert config.actor_rollout_ref.rollout.tensor_model_parallel_size == 4


@pytest.mark.parametrize("name", ["qwen3_4b_cleaner_published", "qwen3_4b_notool", "demyagent_qwen2_7b"])
def test_the_tiny_overlay_can_start_here_and_keeps_what_the_recipe_is_about(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    full, tiny = recipe(name), recipe(name, "overlay=tiny")
    check(tiny, MACHINE_BOUND)
    assert preflight.problems(tiny) == []
    assert saar(tiny) == saar(full)
    kept = ("actor_rollout_ref.rollout.multi_turn", "algorithm", "actor_rollout_ref.actor.clip_ratio_high")
    assert [key for key in kept if OmegaConf.select(tiny, key) != OmegaConf.select(full, key)] == []
    assert tiny.cleartrace.run_dir == f"runs/{name}_tiny"


def test_a_key_of_the_command_line_has_the_last_word():
    assert recipe(
        "qwen3_4b", "scale=cpu", "actor_rollout_ref.rollout.dtype=bfloat16"
    ).actor_rollout_ref.rollout.dtype == ("bfloat16")


def test_group_filtering_is_verls_own():
    """DAPO's dynamic sampling: the block that veRL's V1 trainer hands to its replay buffer."""
    from verl.trainer.config import FilterGroupsConfig
    from verl.utils.config import omega_conf_to_dataclass

    groups = omega_conf_to_dataclass(recipe("qwen3_4b", "overlay=dynamic_sampling").algorithm.filter_groups)
    assert isinstance(groups, FilterGroupsConfig)
    assert (groups.enable, groups.metric, groups.max_inflight_gen_batches) == (True, "acc", 1)


@pytest.mark.parametrize("name", [*SCRIPTS, *SFT])
def test_every_script_starts_its_experiment_and_passes_its_arguments_on(name):
    lines = (RECIPE / f"{name}.sh").read_text().splitlines()
    folder, module = ("recipe/cleaner/sft", "sft") if name in SFT else ("recipe/cleaner", "main")
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-1].endswith(f'-m cleartrace_verl.{module} --recipe {folder} experiment={name} "$@"')
    assert f"bash recipe/cleaner/{name}.sh" in "\n".join(lines)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_dry_runs_here_and_says_what_is_missing(name, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    assert main(["--recipe", "recipe/cleaner", f"experiment={name}", "--dry-run"]) == 0
    said = capfd.readouterr().out
    assert "configuration resolves" in said
    gpus = 8 if TRAINING.get(name) == "node8" else 4
    assert f"{gpus} GPU(s) per node are configured" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("name", SFT)
def test_every_sft_script_dry_runs_here(name, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    assert sft_main(["--recipe", "recipe/cleaner/sft", f"experiment={name}", "--dry-run"]) == 0
    assert "configuration resolves" in capfd.readouterr().out


def test_a_script_really_runs_from_anywhere(tmp_path):
    command = ["bash", str(RECIPE / "qwen2_7b_cleaner.sh"), "--dry-run", "data.train_batch_size=64"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    assert "Qwen2.5-7B-RA-SFT" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_d54_no_recipe_holds_a_placeholder_or_an_absolute_path():
    files = [*RECIPE.rglob("*.yaml"), *RECIPE.glob("*.sh")]
    for file in files:
        text = file.read_text()
        assert not re.search(r"path/to|<[a-z_]+>|your[-_ ]|xxx|changeme|WANDB_API_KEY|HF_TOKEN", text, re.I), file
        if file.suffix == ".yaml":
            values = [str(v) for v in _scalars(yaml.safe_load(text))]
            assert not [v for v in values if v.startswith(("/", "~"))], file


def _scalars(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [v for child in node.values() for v in _scalars(child)]
    if isinstance(node, list):
        return [v for child in node for v in _scalars(child)]
    return [node]


def test_every_experiment_file_is_reached():
    """(D54) A file that no script and no twin leads to would rot."""
    shared = {f.stem for f in (RECIPE / "experiment/base").glob("*.yaml")}
    named = {
        m
        for f in RECIPE.glob("experiment/**/*.yaml")
        for m in re.findall(r"^  - (?:base/)?(\w+)$", f.read_text(), re.M)
    }
    assert shared <= named
