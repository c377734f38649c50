"""Each setting of the loop changes what it does (R18): the same world with and without it."""

import asyncio

import pytest

from cleartrace.environments.ruleworld import RuleWorld
from cleartrace.learn.rcl.config import RclConfig
from cleartrace.learn.rcl.loop import optimize
from cleartrace.learn.rcl.simulated import simulated_parts
from tests.learn.rcl.toy import Runner, parts

REPLAY = {"failure_replay_ratio": 0.5, "iterations": 20, "mini_batch": 3}
MANY = {"mini_batch": 3}

# field -> (settings of both runs, what the second has besides)
EFFECTS = {
    "seed": ({}, {"seed": 43}),
    "iterations": ({}, {"iterations": 4}),
    "batch_size": ({}, {"batch_size": 7}),
    "mini_batch": ({}, {"mini_batch": 2}),
    "single_pass": ({}, {"single_pass": True}),
    "failure_replay_ratio": ({"iterations": 20}, {"failure_replay_ratio": 0.5}),
    "failure_replay_max_size": (REPLAY, {"failure_replay_max_size": 2}),
    "failure_replay_unseen_first": ({}, {"failure_replay_unseen_first": False}),
    "failure_replay_passes_to_graduate": (REPLAY, {"failure_replay_passes_to_graduate": 1}),
    "failure_replay_failures_to_evict": (REPLAY, {"failure_replay_failures_to_evict": 1}),
    "group_size": ({}, {"group_size": 3}),
    "dual_trace": ({}, {"dual_trace": True}),
    "pp": ({}, {"pp": True, "perturbation_set": "minimal"}),
    "perturbation_set": ({"dual_trace": True}, {"perturbation_set": "minimal"}),
    "reflect_all_traces": (MANY, {"reflect_all_traces": True}),
    "batched_reflection": (MANY, {"batched_reflection": True}),
    "auxiliary_losses": (MANY, {"auxiliary_losses": True}),
    "variance_rollouts": ({"auxiliary_losses": True, "iterations": 30, **MANY}, {"variance_rollouts": 3}),
    "add_only": (MANY, {"add_only": True}),
    "entry_char_cap": ({}, {"entry_char_cap": 20}),
    "prune_threshold": (MANY, {"prune_threshold": 1}),
    "playbook_budget": (MANY, {"playbook_budget": 60}),
    "use_optimization_state": ({}, {"use_optimization_state": True}),
    "optimization_state_max_history": ({"use_optimization_state": True}, {"optimization_state_max_history": 2}),
    "acceptance": ({}, {"acceptance": "paired"}),
    "credit_pruning": ({"iterations": 20, **MANY}, {"credit_pruning": True}),
    "val_interval": ({}, {"val_interval": 3}),
    "skip_validation": ({}, {"skip_validation": True}),
}
ELSEWHERE = {
    "reflection_threshold": "below: the rule world scores 0 and 1 alone",
    "checkpoint_interval": "test_rundir: it leaves files",
    "operations": "test_cli: it needs a model",
    "leak_guard": "test_loop, and test_cli with a model",
}


def what_it_did(settings: dict) -> tuple:
    config = RclConfig.model_validate(settings)
    world = RuleWorld(2, options={"scenarios": (6, 1, 1), "rules": 8})
    made = simulated_parts(world, config, validation=world.tasks("val"))
    seen, run = [], made.runner.run

    async def watched(requests):
        episodes = await run(requests)
        seen.extend((one.task_id, one.trajectory.seed, one.trajectory.context.text) for one in episodes)
        return episodes

    made.runner.run = watched  # type: ignore[method-assign]
    done = asyncio.run(optimize(config, made))
    state = done.state.model_copy(update={"config": ""})
    return state, tuple(row.canonical() for row in done.history), tuple(seen)


@pytest.mark.parametrize("field", EFFECTS)
def test_r18_each_setting_changes_what_the_loop_does(field):
    both, more = EFFECTS[field]
    assert what_it_did({**both, **more}) != what_it_did(both)


def test_r18_no_setting_is_left_out():
    assert {*EFFECTS, *ELSEWHERE} == set(RclConfig.model_fields)


@pytest.mark.parametrize(("threshold", "signals"), [(1.0, 1), (0.5, 0)])
def test_r18_the_threshold_decides_what_is_a_failure(threshold, signals):
    config = RclConfig(iterations=1, reflection_threshold=threshold)
    done = asyncio.run(optimize(config, parts(3, runner=Runner(partial=0.7))))
    assert done.history[0].signals == signals


@pytest.mark.parametrize("budget", [40, 60, 90])
def test_a6_r18_the_playbook_never_exceeds_its_budget(budget):
    config = RclConfig(iterations=12, mini_batch=3, playbook_budget=budget)
    done = asyncio.run(optimize(config, simulated_parts(RuleWorld(2), config)))
    assert 0 < max(row.playbook_tokens for row in done.history) <= budget
    assert sum(row.compacted for row in done.history) > 0
