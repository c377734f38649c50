"""Options of negative samples: typed, off by default, and no key that nothing reads."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from cleartrace.losses.options import Mode, NegativesConfig
from cleartrace.purify.config import SaarConfig


def test_nothing_is_learned_from_failed_calls_by_default():
    assert SaarConfig().negatives.mode is SaarConfig.published().negatives.mode is Mode.OFF


def test_an_unknown_option_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"negatives\.betta; the nearest known one is 'beta'"):
        SaarConfig(negatives={"betta": 1})


def test_a_block_of_a_composed_configuration_is_read():
    block = OmegaConf.create({"negatives": {"mode": "corrected", "cap_is": "ratio"}})
    assert SaarConfig(**dict(block)).negatives.mode is Mode.CORRECTED  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "dpo", "count_tokens": True}, "count_tokens belongs to the shifts"),
        ({"mode": "legacy", "cap_is": "ratio"}, "the published cap is absolute"),
        ({"max_per_group": 0}, "greater than or equal to 1"),
        ({"beta": 0}, "greater than 0"),
        ({"mode": "ppo"}, "'off', 'legacy', 'corrected' or 'dpo'"),
    ],
)
def test_values_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        NegativesConfig(**options)
