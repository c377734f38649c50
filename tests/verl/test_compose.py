"""Configuration: published names, relocation, and no key that nothing reads."""

from __future__ import annotations

import functools
import itertools
import re
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from cleartrace.purify.config import SaarConfig
from cleartrace.report import names
from cleartrace_verl import known_keys, preflight
from cleartrace_verl.compose import PUBLISHED_KEYS, ConfigError, compose, compose_file, relocate

ROOT = Path(__file__).resolve().parents[2]
LAYER = ROOT / "verl/cleartrace_verl"
TURN = "actor_rollout_ref.rollout.multi_turn"
SAAR = "actor_rollout_ref.rollout.custom.saar"
RECIPES = sorted(folder.parent for folder in ROOT.glob("recipe/*/experiment"))
EXPERIMENTS = [(recipe, file.stem) for recipe in RECIPES for file in sorted((recipe / "experiment").glob("*.yaml"))]
SCALES = sorted(file.stem for file in (LAYER / "config/scale").glob("*.yaml"))


@pytest.fixture(scope="module")
def base() -> DictConfig:
    return compose_file("cleartrace", [])[1]


def saar(config: DictConfig) -> SaarConfig:
    return SaarConfig(**OmegaConf.to_container(config.actor_rollout_ref.rollout.custom.saar))  # type: ignore[arg-type]


def changed(base: DictConfig, key: str, value: object = 1) -> DictConfig:
    """`base` with one key forced in, as an override does it."""
    config = base.copy()
    OmegaConf.update(config, key, value, force_add=True)
    return config


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_the_published_keys_reach_saar_with_and_without_plus(plus):
    config = compose(
        [
            f"{plus}{TURN}.enable_tool_rollback=true",
            f"{plus}{TURN}.max_tool_retries=2",
            f"{plus}{TURN}.rollback_probability=0.7",
            f"{plus}{TURN}.similarity_threshold=0.25",
        ]
    )
    got = saar(config)
    assert (got.enable, got.max_retries, got.probability, got.similarity_threshold) == (True, 2, 0.7, 0.25)
    assert not set(PUBLISHED_KEYS) & set(config.actor_rollout_ref.rollout.multi_turn)


def test_the_relocated_configuration_is_one_verl_accepts(base):
    from verl.utils.config import omega_conf_to_dataclass

    config = base.copy()
    relocate(config)
    OmegaConf.resolve(config.actor_rollout_ref.rollout)
    rollout = omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    assert dict(rollout.custom)["saar"]["max_retries"] == 3


def test_saars_own_name_wins_over_the_published_one(base):
    config = changed(changed(base, f"{TURN}.max_tool_retries", 2), f"{SAAR}.max_retries", 5)
    relocate(config)
    assert saar(config).max_retries == 5


def test_published_defaults_are_saars_own(base):
    defaults = SaarConfig()
    for theirs, ours in PUBLISHED_KEYS.items():
        assert base.actor_rollout_ref.rollout.multi_turn[theirs] == getattr(defaults, ours)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("trainr", None),
        ("trainer.typo", None),
        ("trainer.total_traning_steps", "trainer.total_training_steps"),
        (f"{TURN}.max_tool_retry", f"{TURN}.max_tool_retries"),
        (f"{TURN}.enable_tool_rolback", f"{TURN}.enable_tool_rollback"),
        ("cleartrace.tokenbudget", "cleartrace.token_budget"),
        ("cleartrace.judge.timelimit_s", "cleartrace.judge.time_limit_s"),
        ("actor_rollout_ref.actor.clip_ratio_hi", "actor_rollout_ref.actor.clip_ratio_high"),
        ("ray_kwargs.ray_init.num_cpu", "ray_kwargs.ray_init.num_cpus"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(base, key, nearest):
    with pytest.raises(known_keys.UnknownKey, match=re.escape(repr(key))) as caught:
        known_keys.check(changed(base, key), base)
    if nearest:
        assert repr(nearest) in str(caught.value)


def test_plus_does_not_smuggle_a_key_in():
    with pytest.raises(known_keys.UnknownKey, match="trainer.typo"):
        compose(["+trainer.typo=1"])


def test_an_unknown_saar_option_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigError, match="nearest known one is 'max_retries'"):
        compose([f"{SAAR}.max_retrys=2"])


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (f"{TURN}.max_tool_retries=-1", "max_retries"),
        (f"{TURN}.rollback_probability=1.5", "probability"),
        (f"{SAAR}.policy=nonsense", "similarity"),
        ("trainer.device", "write key=value"),
        ("experiment=no_such_experiment", "no_such_experiment"),
        ("scale=no_such_scale", "no_such_scale"),
    ],
)
def test_a_bad_value_is_refused_with_its_name(override, says):
    with pytest.raises(ConfigError, match=says):
        compose([override])


@pytest.mark.parametrize(
    "key",
    [
        "actor_rollout_ref.model.override_config.x",
        "actor_rollout_ref.model.override_config.deep.er",
        "actor_rollout_ref.rollout.engine_kwargs.embedded.max_slots",
        "ray_kwargs.ray_init.object_store_memory",
        "ray_kwargs.ray_init.runtime_env.env_vars.X",
        "reward.custom_reward_function.reward_kwargs.anything",
        "data.apply_chat_template_kwargs.enable_thinking",
        "actor_rollout_ref.rollout.custom.of_a_user",
    ],
)
def test_what_verl_hands_on_is_free(base, key):
    known_keys.check(changed(base, key), base)


def test_a_dataclass_field_that_verls_yaml_does_not_list_is_known(base):
    listed = set(base.actor_rollout_ref.rollout)
    unlisted = set(known_keys._fields(base.actor_rollout_ref.rollout)) - listed
    assert unlisted, "veRL lists every field now: drop the look-up of dataclass fields"
    for name in sorted(unlisted):
        known_keys.check(changed(base, f"actor_rollout_ref.rollout.{name}"), base)


@functools.lru_cache(maxsize=64)
def composed(recipe: Path, experiment: str, scale: str = "") -> DictConfig:
    return compose([f"experiment={experiment}", *([f"scale={scale}"] if scale else [])], [recipe])


@pytest.mark.parametrize(("recipe", "experiment"), EXPERIMENTS, ids=[f"{r.name}-{e}" for r, e in EXPERIMENTS])
def test_every_experiment_composes_and_its_batches_come_out_even(recipe, experiment):
    config = composed(recipe, experiment)
    assert config.trainer.experiment_name
    saar(config)
    assert [problem for problem in preflight.problems(config) if "does not divide" in problem] == []


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_takes_experiments_written_for_other_machines(scale):
    for experiment in ("quickstart", "demyagent_qwen2_7b"):
        config = composed(ROOT / "recipe/cleaner", experiment, scale)
        rollout = config.actor_rollout_ref.rollout
        assert (rollout.name == "embedded") == (config.trainer.device == "cpu") == (scale == "cpu")
        assert config.trainer.n_gpus_per_node % rollout.tensor_model_parallel_size == 0


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("experiment=qwen3_4b_claener", "qwen3_4b_claener"),
        ("overlay=[tiny,nope]", "nope"),
        ("overlay=nope", "nope"),
    ],
)
def test_d24_a_misspelt_choice_is_refused(override, says):
    with pytest.raises(ConfigError, match=says):
        compose([override], [ROOT / "recipe/cleaner"])


def test_a_choice_without_a_recipe_folder_says_what_is_missing():
    with pytest.raises(ConfigError, match="no --recipe DIR is given"):
        compose(["overlay=tiny"])


def test_the_last_choice_of_a_group_counts():
    config = compose(
        ["experiment=qwen3_4b", "scale=node8", "+experiment=quickstart", "scale=gpu1"], [ROOT / "recipe/cleaner"]
    )
    assert (config.trainer.experiment_name, config.trainer.n_gpus_per_node) == ("quickstart", 1)
    assert config.actor_rollout_ref.rollout.name == "sglang"


def test_the_report_reads_settings_that_exist(base):
    relocate(config := base.copy())
    for key in itertools.chain.from_iterable(names.SETTINGS.values()):
        parent, _, leaf = key.rpartition(".")
        known = SaarConfig.model_fields if parent == SAAR else OmegaConf.select(config, parent)
        assert leaf in known, key


def test_there_are_experiments_to_compose():
    assert {"quickstart", "smoke"} <= {name for _, name in EXPERIMENTS}


def own_keys() -> list[str]:
    block = OmegaConf.load(LAYER / "config/cleartrace.yaml").cleartrace
    return [f"cleartrace.{name}" for name in known_keys.leaves(block)]


@pytest.mark.parametrize("key", own_keys())
def test_every_key_of_ours_is_read(key):
    code = "\n".join(file.read_text() for file in LAYER.rglob("*.py"))
    *parents, name = key.split(".")
    # Read in full (config.cleartrace.judge.url), or from its block held in a variable (tasks.train).
    holders = [".".join(parents[i:]) for i in range(len(parents))]
    assert any(re.search(rf"\b{re.escape(holder)}\.{name}\b", code) for holder in holders), f"{key} is read by nothing"


def test_every_published_key_is_relocated():
    block = OmegaConf.load(LAYER / "config/cleartrace.yaml").actor_rollout_ref.rollout.multi_turn
    ours = set(block) - {"enable", "max_tool_response_length"}
    assert ours == set(PUBLISHED_KEYS)
    assert set(PUBLISHED_KEYS.values()) <= set(SaarConfig.model_fields)


def test_the_nearest_key_prefers_the_same_last_part():
    known = ["trainer.device", "actor.lr", "critic.optim.lr", "a.b.c"]
    assert known_keys.nearest("actor_rollout.lr", known) == "actor.lr"


def test_leaves_are_dotted_names():
    config = OmegaConf.create({"a": {"b": 1, "c": {}}, "d": None, "e": "${a.b}"})
    assert list(itertools.chain(known_keys.leaves(config))) == ["a.b", "a.c", "d", "e"]
