"""Every setting acts or is refused (R18)."""

import pytest
from pydantic import ValidationError

from cleartrace.learn.rcl.config import Operations, Perturbation, RclConfig
from cleartrace.learn.rcl.run_config import make_config

PUBLISHED = {
    "iterations": 10,
    "batch_size": 5,
    "mini_batch": 1,
    "reflection_threshold": 1.0,
    "prune_threshold": 0,
    "entry_char_cap": 0,
    "failure_replay_ratio": 0.0,
    "failure_replay_max_size": 0,
    "failure_replay_unseen_first": True,
    "failure_replay_passes_to_graduate": 5,
    "failure_replay_failures_to_evict": 3,
    "single_pass": False,
    "reflect_all_traces": False,
    "playbook_budget": 0,
    "use_optimization_state": False,
    "optimization_state_max_history": 10,
    "perturbation_set": "",
    "group_size": 1,
    "dual_trace": False,
    "batched_reflection": False,
    "seed": 42,
    "checkpoint_interval": 1,
    "skip_validation": False,
    "val_interval": 1,
}


def test_published_names_and_defaults():
    values = RclConfig().model_dump(mode="json")
    assert {name: values[name] for name in PUBLISHED} == PUBLISHED


def test_every_field_says_what_it_does():
    assert [name for name, field in RclConfig.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"single_pass": True, "iterations": 3}, "iterations has no effect with single_pass"),
        ({"single_pass": True, "failure_replay_ratio": 0.5}, "failure_replay_ratio has no effect with single_pass"),
        ({"failure_replay_max_size": 5}, "without failure_replay_ratio above 0"),
        ({"failure_replay_passes_to_graduate": 2}, "without failure_replay_ratio above 0"),
        ({"failure_replay_failures_to_evict": 1}, "without failure_replay_ratio above 0"),
        ({"failure_replay_unseen_first": False, "batch_size": 0}, "when a batch is the whole pool"),
        ({"mini_batch": 6}, "beyond batch_size"),
        ({"operations": "all", "add_only": True}, "operations has no effect beside add_only"),
        ({"pp": True}, "without perturbation_set"),
        ({"perturbation_set": "full"}, "without pp or dual_trace"),
        ({"pp": True, "perturbation_set": "full", "dual_trace": True}, "S2"),
        ({"reflect_all_traces": True, "reflection_threshold": 0.5}, "with reflect_all_traces"),
        ({"batched_reflection": True}, "with a mini_batch of 1"),
        ({"variance_rollouts": 2}, "without auxiliary_losses"),
        ({"optimization_state_max_history": 5}, "without use_optimization_state"),
        ({"skip_validation": True, "val_interval": 2}, "with skip_validation"),
        ({"mini_bach": 2}, "there is no setting 'mini_bach'; the nearest is 'mini_batch'"),
        ({"grouped_rollouts": 2, "group_size": 2}, "given twice"),
    ],
)
def test_r18_what_would_have_no_effect_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        RclConfig.model_validate(values)


def test_settings_that_came_later_leave_the_digest_of_older_runs():
    assert RclConfig().digest == "81efbca6463441a5", "as of before operations and leak_guard"
    assert make_config({"environment": "ruleworld"}).digest == "9879d0d72225c2d6"
    assert RclConfig(leak_guard=True).digest != RclConfig().digest != RclConfig(operations=Operations.ALL).digest


def test_published_spellings_are_understood():
    config = RclConfig.model_validate({"grouped-rollouts": 0, "optimization_state": True, "mini-batch": 2})
    assert (config.group_size, config.use_optimization_state, config.mini_batch) == (1, True, 2)


def test_dual_trace_takes_the_full_set_unless_told():
    assert RclConfig(dual_trace=True).perturbation is Perturbation.FULL
    assert RclConfig(dual_trace=True, perturbation_set=Perturbation.MINIMAL).perturbation is Perturbation.MINIMAL
    assert RclConfig().perturbation is Perturbation.OFF


def test_a_run_may_be_made_longer_but_not_other():
    assert RclConfig(iterations=2).digest == RclConfig(iterations=5).digest
    assert RclConfig(batch_size=4).digest != RclConfig().digest
