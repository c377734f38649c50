"""Credit against effects that are known exactly."""

import asyncio
import random

import numpy as np
import pytest

from cleartrace.agents.protocol import RunRequest
from cleartrace.context.playbook.types import Playbook
from cleartrace.context.providers import Abstaining, Empty, PlaybookProvider
from cleartrace.environments.ruleworld import Habits, SimulatedAgent, World
from cleartrace.episodes.types import Failure, FailureKind, Outcome, RunKind
from cleartrace.learn.credit import (
    AbstentionRule,
    Method,
    citation_credit,
    credit_draws,
    difference_interval,
    dropout,
    dropout_credit,
    leave_one_out,
    measure_context,
)
from cleartrace.learn.credit.dropout import clustered_effects
from recipe.rcl.study.bench import Runner, Spent
from recipe.rcl.study.credit import WORLD, alone, averaged, measure, mixed_playbook


class Recorded(Runner):
    """Keeps what it ran."""

    async def run(self, requests):
        self.episodes = await super().run(requests)
        return self.episodes


def scene(seed=1, coupling=1.0):
    world = World(seed, WORLD, Habits(coupling=coupling))
    return world, mixed_playbook(world), Recorded(SimulatedAgent(world), Spent())


def test_a17_signs_of_large_effects_are_found_and_intervals_hold():
    """On 5 worlds at 720 runs a method; 200 worlds are in docs/results/rcl/credit.csv."""
    found = [one for seed in range(5) for one in measure(seed, 1.0, 720)]
    for method in (Method.LEAVE_ONE_OUT, Method.DROPOUT):
        mine = [one for one in found if one.method == method.value]
        large = [one for one in mine if abs(one.true) >= 0.1]
        assert len(mine) == 40 and len(large) >= 5
        assert sum(one.true * one.mean > 0 for one in large) >= 0.9 * len(large)
        assert sum(one.low <= one.true <= one.high for one in mine) >= 0.9 * len(mine)


def test_r29_the_interval_of_a_useless_entry_covers_0():
    world, playbook, runner = scene()
    provider = PlaybookProvider(playbook)
    credits = asyncio.run(leave_one_out(provider, credit_draws(world.tasks("train"), 60, 1), runner, only=["e7", "e8"]))
    assert [one.entry_id for one in credits.credits] == ["e7", "e8"] and credits.runs == 180
    assert all(one.effect.low < 0 < one.effect.high and one.effect.sign == 0 for one in credits.credits)


def test_r4_credit_runs_are_probes_by_type_and_name_what_was_left_out():
    world, playbook, runner = scene()
    provider, draws = PlaybookProvider(playbook), credit_draws(world.tasks("train"), 8, 1)
    asyncio.run(leave_one_out(provider, draws, runner))
    assert {one.trajectory.kind for one in runner.episodes} == {RunKind.PROBE}
    assert {one.trajectory.context.probe for one in runner.episodes} >= {"whole", "without: e1"}
    asyncio.run(dropout(provider, draws, runner))
    assert {one.trajectory.kind for one in runner.episodes} == {RunKind.PROBE}
    asyncio.run(measure_context(draws, runner, provider, Empty()))
    assert {one.trajectory.kind for one in runner.episodes} == {RunKind.PROBE}


def test_true_effects_of_the_study_are_what_they_are_called():
    world, playbook, _ = scene()
    effects = alone(world, playbook)
    assert all(one > 0 for one in effects[:4]) and all(one < 0 for one in effects[4:])
    assert max(abs(one) for one in effects[6:]) < 0.01 < min(effects[:4])
    none = averaged(world, playbook, rate=1e-9)
    assert none == pytest.approx(effects, abs=1e-6)


def test_dropout_can_be_read_from_stored_episodes_and_leaves_out_spoiled_runs():
    world, playbook, runner = scene()
    provider = PlaybookProvider(playbook)
    credits = asyncio.run(dropout(provider, credit_draws(world.tasks("train"), 40, 2), runner, seed=3))
    again = dropout_credit(provider.parts, list(reversed(runner.episodes)))
    assert [one.entry_id for one in credits.credits] == [one.entry_id for one in again.credits]
    assert [one.effect.mean for one in credits.credits] == pytest.approx([one.effect.mean for one in again.credits])
    fault = Outcome(score=None, failure=Failure(kind=FailureKind.SANDBOX))
    spoiled = [one.model_copy(update={"outcome": fault}) for one in runner.episodes[:7]]
    assert dropout_credit(provider.parts, [*spoiled, *runner.episodes[7:]]).unscored == 7


def test_clustered_effects_are_least_squares_with_a_constant_per_cluster():
    """Against numpy's solver with one dummy column per cluster."""
    draw = np.random.default_rng(3)
    present = (draw.random((60, 3)) < 0.6).astype(float)
    cluster = np.repeat(np.arange(15), 4)
    scores = present @ [0.3, -0.2, 0.0] + 0.1 * cluster / 15 + 0.05 * draw.standard_normal(60)
    dummies = (cluster[:, None] == np.arange(15)).astype(float)
    beta = np.linalg.lstsq(np.hstack([present, dummies]), scores, rcond=None)[0][:3]
    effects = clustered_effects(present, scores, cluster)
    assert [one.mean for one in effects] == pytest.approx(beta)
    assert [one.sign for one in effects[:2]] == [1, -1]
    constant = np.hstack([present, np.ones((60, 1))])
    assert clustered_effects(constant, scores, cluster)[3] is None
    assert clustered_effects(present[:8], scores[:8], cluster[:8]) == [None] * 3


def test_difference_intervals_hold_their_level_where_few_pairs_differ():
    for win, loss in ((0.0, 0.0), (0.05, 0.01), (0.3, 0.1)):
        held = 0
        for seed in range(400):
            draw = random.Random(f"{win}:{seed}")
            found = [1.0 if (u := draw.random()) < win else -1.0 if u < win + loss else 0.0 for _ in range(60)]
            effect = difference_interval(found)
            held += effect.low <= win - loss <= effect.high
        assert held / 400 >= 0.93
    with pytest.raises(ValueError, match="no differences"):
        difference_interval([])


def test_citations_are_counted_per_revision_and_need_six_runs_of_either_kind():
    world, playbook, runner = scene()
    provider, draws = PlaybookProvider(playbook), credit_draws(world.tasks("train"), 200, 5)
    episodes = asyncio.run(runner.run([RunRequest(one.task, one.seed, provider) for one in draws]))
    credits = citation_credit(provider.parts, episodes)
    assert credits.of("e1") is not None and credits.runs == 0
    rewritten = [part.model_copy(update={"revision": 2}) for part in provider.parts]
    assert citation_credit(rewritten, episodes).credits == ()
    assert citation_credit(provider.parts, episodes[:5]).credits == ()


def test_a27_the_rule_abstains_where_context_did_not_help_on_similar_tasks():
    """A playbook that is right on some marks and wrong on others: abstaining gains on tasks never measured."""
    world = World(11, WORLD)
    true, false = mixed_playbook(world).entries[:4], mixed_playbook(world).entries[4:6]
    provider = PlaybookProvider(Playbook(entries=(*true, *false)))
    runner = Runner(SimulatedAgent(world), Spent())
    draws = credit_draws(world.tasks("train"), 400, 1)
    measured = asyncio.run(measure_context(draws, runner, provider, Empty()))
    rule = AbstentionRule(measured)
    abstaining = Abstaining(provider, rule)

    def success(one, task):
        return world.success(task, asyncio.run(one.context_for(task, 0)).text)

    tasks = world.tasks("val") + world.tasks("test")
    said = [task for task in tasks if not rule.abstains(task)]
    assert 0 < len(said) < len(tasks)
    gains = [success(abstaining, task) - success(provider, task) for task in tasks if rule.abstains(task)]
    assert sum(gains) > 0
    assert AbstentionRule(()).abstains(tasks[0]) is False
    assert rule.hash != AbstentionRule(measured, least=0.1).hash


def test_draws_and_settings_are_checked():
    world, playbook, runner = scene()
    with pytest.raises(ValueError, match="no tasks"):
        credit_draws([], 3, 1)
    with pytest.raises(ValueError, match="at least 2 runs"):
        asyncio.run(dropout(PlaybookProvider(playbook), credit_draws(world.tasks(), 3, 1), runner, runs_each=1))
    assert credit_draws(world.tasks(), 9, 4) == credit_draws(world.tasks(), 9, 4) != credit_draws(world.tasks(), 9, 5)
