"""What ContextRL refuses before a run starts, and which path it takes."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from cleartrace.losses.context_options import ContextConfig, LogitsPath
from cleartrace_verl.compose import compose
from cleartrace_verl.context.checks import ContextRefused, choose_path, problems
from cleartrace_verl.known_keys import UnknownKey
from cleartrace_verl.preflight import problems as all_problems
from tests.verl.context.support import ROOT, pair_files

KEY = "actor_rollout_ref.context_rl"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return pair_files(tmp_path_factory.mktemp("pairs"))


def found(files, *overrides: str) -> list[str]:
    train, held_out = files
    on = [f"{KEY}.enable=true", f"{KEY}.train_files=[{train}]", f"{KEY}.val_files=[{held_out}]"]
    return list(problems(compose(["experiment=smoke", *on, *overrides], [ROOT / "recipe/cleaner"])))


def test_a_usable_configuration_has_no_problem(files):
    assert found(files) == []


def test_nothing_is_asked_of_a_run_without_pairs():
    config = compose(
        ["experiment=smoke", f"{KEY}.batch_size=3", "trainer.n_gpus_per_node=2"], [ROOT / "recipe/cleaner"]
    )
    assert list(problems(config)) == []


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([f"{KEY}.coef=-1"], "context_rl.coef"),
        ([f"{KEY}.clip=0"], "context_rl.clip"),
        ([f"{KEY}.letters=[A,A]"], "letters must differ"),
        ([f"{KEY}.debias=true"], "order=both"),
        ([f"{KEY}.train_files=[]"], "train_files is empty"),
        ([f"{KEY}.train_files=[nowhere.jsonl]"], "no file nowhere.jsonl"),
        ([f"{KEY}.batch_size=3", "trainer.n_gpus_per_node=2"], "not divisible by the 2"),
        (["actor_rollout_ref.actor.strategy=megatron"], "actor.strategy=fsdp2"),
        (["trainer.v1.trainer_mode=separate_async"], "trainer_mode=sync"),
        ([f"{KEY}.logits_path=lm_head"], "fused kernels"),
        ([f"{KEY}.letter_variants=true"], "letter_variants=false"),
    ],
)
def test_what_would_train_something_else_is_refused(files, overrides, said):
    (problem,) = found(files, *overrides)
    assert said in problem


def test_refusals_are_part_of_the_preflight(files):
    config = compose(["experiment=smoke", f"{KEY}.enable=true"], [ROOT / "recipe/cleaner"])
    assert any("train_files is empty" in text for text in all_problems(config))
    with pytest.raises(UnknownKey, match="context_rl.coef"):
        compose(["experiment=smoke", f"{KEY}.coeff=1"], [ROOT / "recipe/cleaner"])


CASES = [
    # wanted, fused, sequence parallel, pads to length, taken
    ("auto", False, False, False, LogitsPath.LM_HEAD),
    ("auto", True, False, False, LogitsPath.PAIR),
    ("auto", False, True, False, LogitsPath.PROCESSOR),
    ("auto", True, True, False, LogitsPath.PAIR),
    ("auto", False, True, True, None),
    ("lm_head", False, True, False, None),
    ("lm_head", True, False, False, None),
    ("processor", True, False, False, None),
    ("processor", False, False, False, LogitsPath.PROCESSOR),
    ("pair", False, False, True, LogitsPath.PAIR),
]


@pytest.mark.parametrize(("wanted", "fused", "sequence_parallel", "pads", "taken"), CASES)
def test_the_path_fits_the_engine(wanted, fused, sequence_parallel, pads, taken):
    """W9: an unsliced prompt never meets attention that was made for slices."""
    config = ContextConfig(logits_path=LogitsPath(wanted))
    options = {"fused": fused, "sequence_parallel": sequence_parallel, "pads_to_length": pads}
    if taken is None:
        with pytest.raises(ContextRefused, match="cannot be used here"):
            choose_path(config, **options)
    else:
        assert choose_path(config, **options) is taken


def test_the_file_of_defaults_is_read_by_the_model():
    written = OmegaConf.to_container(compose([]).actor_rollout_ref.context_rl)
    assert ContextConfig.model_validate(written) == ContextConfig()
