"""Configuration (D24) and the coin (D17, D21)."""

import pytest
from pydantic import ValidationError

from cleartrace.purify.coin import draw, may_roll_back
from cleartrace.purify.config import INNER_POLICIES, Policy, SaarConfig
from cleartrace.purify.splice import STRATEGIES


def test_d24_unknown_key_names_the_nearest():
    with pytest.raises(ValidationError, match="max_retries"):
        SaarConfig.model_validate({"max_retrys": 3})


def test_unknown_policy_names_the_available_ones():
    with pytest.raises(ValidationError, match="available: similarity"):
        SaarConfig.model_validate({"policy": "plan_z"})


@pytest.mark.parametrize(
    "bad",
    [
        {"probability": 1.5},
        {"max_retries": -1},
        {"min_budget_tokens": 0},
        {"error_policy": {"NameError": -1}},
        {"hint_text": "{nothing}"},
        {"similarity_threshold": 2},
        {"gate_threshold": 0},
        {"correction_bounds": (1.1, 2.0)},
        {"policy": "importance", "inner_policy": "tolerate_first"},
        {"policy": "importance", "retry_context": "all"},
        {"policy": "tolerate_first", "inner_policy": "append"},
        {"policy": "tolerate_first", "inner_policy": "importance", "retry_context": "all"},
    ],
)
def test_d24_values_are_validated(bad):
    with pytest.raises(ValidationError):
        SaarConfig.model_validate(bad)


def test_every_policy_has_a_strategy_and_every_field_a_description():
    assert set(STRATEGIES) | {Policy.APPEND, *INNER_POLICIES} == set(Policy)
    assert [name for name, field in SaarConfig.model_fields.items() if not field.description] == []


def test_published_preset():
    config = SaarConfig.published(probability=0.7)
    assert config.enable and config.autojunk and not config.symmetric
    assert (config.basis, config.on_exhaustion, config.max_retries) == ("wrapped", "trajectory", 3)
    assert (config.max_total_retries, config.similarity_threshold, config.hint_after) == (30, 0.5, 2)
    assert config.probability == 0.7


def test_d17_draws_repeat_and_evaluation_is_never_random():
    config = SaarConfig(enable=True, probability=0.5)
    arms = [may_roll_back(config, "s", 3, k) for k in range(200)]
    assert arms == [may_roll_back(config, "s", 3, k) for k in range(200)]
    assert 60 < sum(arms) < 140
    assert all(may_roll_back(config, "s", 3, k, evaluation=True) for k in range(50))
    off = SaarConfig(enable=False, probability=1.0)
    assert not may_roll_back(off, "s", 3, 0) and not may_roll_back(off, "s", 3, 0, evaluation=True)


def test_d17_every_argument_matters():
    assert (
        len({draw(0, "s", 0, 0), draw(1, "s", 0, 0), draw(0, "t", 0, 0), draw(0, "s", 1, 0), draw(0, "s", 0, 1)}) == 5
    )


def test_d21_group_scope_is_uniform_within_a_group():
    config = SaarConfig(enable=True, probability=0.7, probability_scope="group")
    groups = [{may_roll_back(config, f"s{i}", 0, k) for k in range(16)} for i in range(60)]
    assert all(len(group) == 1 for group in groups) and len(set.union(*groups)) == 2
