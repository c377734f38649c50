"""Every file of recipe/rcl is a working set of settings, and every script runs it."""

import subprocess
from pathlib import Path

import pytest
import yaml

from cleartrace.learn.rcl.run_config import make_config, read_yaml

RECIPE = Path(__file__).resolve().parents[3] / "recipe" / "rcl"
PRIMITIVES = sorted((RECIPE / "primitive").glob("*.yaml"))
ENVIRONMENTS = ("ruleworld", "agentdojo", "scienceworld")


@pytest.mark.parametrize("primitive", PRIMITIVES, ids=lambda path: path.stem)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_primitives_go_with_every_environment(primitive, environment):
    base = read_yaml(RECIPE / f"{environment}.yaml")
    model = {} if environment == "ruleworld" else {"model": "openai/m"}
    assert make_config(base, read_yaml(primitive), model) != make_config(base, model)


def test_published_is_what_was_published():
    config = make_config(read_yaml(RECIPE / "published.yaml"), {"environment": "bfcl", "model": "openai/m"})
    assert (config.iterations, config.batch_size, config.mini_batch, config.max_steps) == (3, 5, 1, 100)
    assert config.skip_validation and config.thinking_level.value == "high"


def test_a_script_prints_its_settings_and_lets_flags_win():
    words = ["bash", str(RECIPE / "agentdojo.sh"), "--model", "openai/m", "--mini-batch", "2", "--dry-run"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)
    assert (found["environment"], found["mini_batch"], found["val_interval"]) == ("agentdojo", 2, 5)
