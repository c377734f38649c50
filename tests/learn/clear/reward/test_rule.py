"""Seeds and rewards, as arithmetic."""

from __future__ import annotations

import pytest

from cleartrace.episodes.types import Task
from cleartrace.learn.clear.reward.options import RewardRules
from cleartrace.learn.clear.reward.rule import StepMissing, agent_seeds, reward

TASK = Task(environment="world", id="pay", input="Pay Ada.")
OTHER = Task(environment="world", id="ask", input="Ask Ada.")


def test_a26_guidances_of_one_prompt_in_one_step_share_their_seeds():
    rules = RewardRules(runs=3)
    assert agent_seeds(rules, TASK, 4) == agent_seeds(rules, TASK, 4)
    assert len(set(agent_seeds(rules, TASK, 4))) == 3
    assert not set(agent_seeds(rules, TASK, 4)) & set(agent_seeds(rules, TASK, 5))
    assert agent_seeds(rules, TASK, 4) != agent_seeds(rules, OTHER, 4)
    assert agent_seeds(rules, TASK, 4) != agent_seeds(RewardRules(runs=3, seed=1), TASK, 4)


def test_more_runs_keep_the_seeds_of_the_first():
    assert agent_seeds(RewardRules(runs=3), TASK, 4)[:1] == agent_seeds(RewardRules(), TASK, 4)


@pytest.mark.parametrize("pool", [1, 3])
def test_a_pool_holds_so_many_sets_of_seeds(pool):
    rules = RewardRules(seed_pool=pool)
    assert len({agent_seeds(rules, TASK, step)[0] for step in range(60)}) == pool


def test_new_seeds_at_each_step_need_a_step():
    with pytest.raises(StepMissing, match="seed_pool"):
        agent_seeds(RewardRules(), TASK, None)


@pytest.mark.parametrize(
    ("rules", "tokens", "earned"),
    [
        ({}, 50, 0.75),
        ({"subtract_baseline": True}, 50, 0.25),
        ({"token_cost": 0.002}, 50, 0.65),
        ({"subtract_baseline": True, "token_cost": 0.002}, 50, 0.15),
    ],
)
def test_a_reward_is_made_of_what_the_rules_name(rules, tokens, earned):
    assert reward(RewardRules(**rules), [1.0, 0.5], [0.5, 0.5], tokens) == pytest.approx(earned)


def test_abstaining_earns_0_where_the_gain_is_rewarded():
    rules = RewardRules(subtract_baseline=True, token_cost=0.1)
    assert reward(rules, [1.0], [1.0], 0) == reward(rules, [0.0], [0.0], 0) == 0.0
