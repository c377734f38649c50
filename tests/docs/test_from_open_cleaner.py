"""The drop-in document: every command it names can be run, every key has the fate it says."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace_verl import published_keys
from cleartrace_verl.compose import ConfigError, compose
from cleartrace_verl.main import main
from cleartrace_verl.sft import main as sft_main

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/from-open-cleaner.md").read_text()
SHORT = {"MT.": f"{published_keys.MULTI_TURN}.", "SAAR.": f"{published_keys.SAAR}."}
NEGATIVES = (f"{published_keys.MULTI_TURN}.save_negative_samples=true", "algorithm.use_dpo_on_tool_calls=true")
# What has to be given beside a key for it to mean anything.
COMPANIONS = {
    ("algorithm.rollout_correction.rollout_rs_threshold_lower", "0.99"): (
        "algorithm.rollout_correction.rollout_rs=geometric",
        "algorithm.rollout_correction.rollout_rs_threshold=1.001",
    ),
    ("algorithm.use_dpo_on_tool_calls", "true"): NEGATIVES,
    ("algorithm.dpo_beta", "15"): NEGATIVES,
    ("algorithm.dpo_max_adjustment_ratio", "0.2"): NEGATIVES,
    (f"{published_keys.MULTI_TURN}.max_negative_samples_per_group", "2"): NEGATIVES,
}


def table(heading: str) -> list[list[str]]:
    """Cells of the table below a heading, without its head."""
    section = next(part for part in re.split(r"^## ", TEXT, flags=re.M) if part.startswith(heading))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return rows[2:]


def full(key: str) -> str:
    for short, long in SHORT.items():
        key = long + key.removeprefix(short) if key.startswith(short) else key
    return key


KEYS = [(full(key.strip("`")), value.strip("`"), fate, here) for key, value, fate, here in table("Keys")]


def composed(key: str, value: str, plus: str = "+") -> DictConfig:
    return compose([f"{plus}{key}={value}", *COMPANIONS.get((key, value), ())])


def select(config: DictConfig, key: str) -> object:
    return OmegaConf.select(config, key, throw_on_missing=False, default="absent")


@pytest.mark.parametrize(("key", "value", "fate", "here"), KEYS, ids=[f"{k}={v}" for k, v, _, _ in KEYS])
def test_every_key_has_the_fate_the_document_says(key, value, fate, here):
    new_names = [full(name) for name in re.findall(r"`([a-zA-Z][\w.]+\.[a-z][\w.]+)`", here)]
    if fate == "refused":
        with pytest.raises(ConfigError) as caught:
            composed(key, value)
        said = str(caught.value)
        assert key in said
        assert new_names and all(name in said for name in new_names)
        return
    config = composed(key, value)
    wanted = OmegaConf.create({"v": None}) if value == "null" else OmegaConf.from_dotlist([f"v={value}"])
    if fate == "moved":
        assert select(config, new_names[0]) == wanted.v
        assert select(config, key) == "absent"
    elif fate == "dropped":
        assert select(config, key) == "absent"
    elif fate == "kept":
        assert select(config, key) == wanted.v
    else:
        assert fate == "translated"
        assert select(config, key) != wanted.v
        assert here.split("`")[-2] in [select(config, name) for name in (key, *new_names)]


def test_every_translated_key_is_in_the_document():
    documented = {key for key, *_ in KEYS}
    saar = {f"{published_keys.MULTI_TURN}.{name}" for name in published_keys.SAAR_KEYS} - {
        f"{published_keys.MULTI_TURN}.similarity_threshold"  # a literal where it was published
    }
    assert saar | set(published_keys.REFUSED) | set(published_keys.NEGATIVE_KEYS) <= documented
    for moved in ("custom_reward_function", "reward_model.reward_kwargs", "reward_model.model.path"):
        assert any(key.startswith(moved) for key in documented), moved


def test_the_published_gate_is_the_unnormalised_sum():
    saar = composed(f"{published_keys.MULTI_TURN}.rollback_is_threshold", "0.5").actor_rollout_ref.rollout.custom.saar
    assert (saar.policy, saar.gate_form) == ("importance", "sum")


def test_published_details_of_negatives_mean_nothing_while_they_are_off():
    """Both CLEANER scripts pass them so."""
    config = compose(
        [
            f"+{published_keys.MULTI_TURN}.save_negative_samples=False",
            f"+{published_keys.MULTI_TURN}.max_negative_samples_per_group=0",
            "+algorithm.dpo_beta=15",
        ]
    )
    assert "negatives" not in config.actor_rollout_ref.rollout.custom.saar


def test_a_given_legacy_name_wins_over_what_an_experiment_says():
    config = compose(
        ["experiment=qwen3_4b", "+reward_model.reward_kwargs.overlong_buffer_cfg.len=7"], [ROOT / "recipe/cleaner"]
    )
    assert config.reward.reward_kwargs.overlong_buffer_cfg == {"enable": True, "len": 7, "penalty_factor": 1.0}
    assert not set(published_keys.LEGACY_BLOCKS) & set(config)


@pytest.mark.parametrize("override", ["reward.reward_manager.name=dapo", "reward_model.reward_manager=naive"])
def test_verls_managers_mean_the_one_that_keeps_records(override):
    assert compose([override]).reward.reward_manager.name == "ShapedRewardManager"


def test_a_manager_that_is_really_verls_own_stays():
    manager = compose(
        ["reward.reward_manager.source=register", "reward.reward_manager.name=dapo"]
    ).reward.reward_manager
    assert (manager.source, manager.name) == ("register", "dapo")


SCRIPTS = sorted(set(re.findall(r"`bash (recipe/[\w/]+\.sh|[\w]+\.sh)`", TEXT)))


def test_scripts_are_named():
    assert len(SCRIPTS) == 15


@pytest.mark.parametrize("script", [s for s in SCRIPTS if s.startswith("recipe")])
def test_every_script_named_exists_and_dry_runs(script, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    last = (ROOT / script).read_text().splitlines()[-1]
    module, folder, experiment = re.findall(r"-m cleartrace_verl\.(\w+) --recipe (\S+) (experiment=\w+)", last)[0]
    start = {"main": main, "sft": sft_main}[module]
    assert start(["--recipe", folder, experiment, "--dry-run"]) == 0
    assert "configuration resolves" in capfd.readouterr().out


COMMANDS = sorted(set(itertools.chain(re.findall(r"`cleartrace ([a-z-]+(?: [a-z-]+)?)", TEXT))))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_named_exists(command):
    words = command.split()[: 2 if command.startswith("data") else 1]
    assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0


def test_every_other_script_named_exists():
    assert all((ROOT / script).is_file() for script in SCRIPTS)
