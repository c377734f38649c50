"""The reward of a guidance, from the scores of agent runs. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean

from cleartrace.episodes.types import Task
from cleartrace.learn.clear.reward.options import RewardRules


class StepMissing(ValueError):
    """Seeds are to change with the step, and no step is known."""


def agent_seeds(rules: RewardRules, task: Task, step: int | None) -> list[int]:
    """Seeds of the runs at one visit to a task: of rules, task and step alone, whoever asks and in whatever order.

    Raises:
        StepMissing: `step` is None and each step has new seeds.

    Example:
        >>> task = Task(environment="sums", id="1+1", input="1+1?")
        >>> agent_seeds(RewardRules(), task, 3) == agent_seeds(RewardRules(), task, 4)
        False
        >>> agent_seeds(RewardRules(seed_pool=1), task, 3) == agent_seeds(RewardRules(seed_pool=1), task, None)
        True
    """
    name = f"{task.environment}/{task.id}"
    visit = step
    if rules.seed_pool is not None:
        drawn = random.Random(f"{rules.seed}:reward-visit:{name}:{step}")
        visit = drawn.randrange(rules.seed_pool)
    if visit is None:
        raise StepMissing("seeds change with the training step, and no step was given: set seed_pool, e.g. to 1")
    return [random.Random(f"{rules.seed}:reward-run:{name}:{visit}:{n}").randrange(2**31) for n in range(rules.runs)]


def reward(rules: RewardRules, scores: Sequence[float], without: Sequence[float], tokens: int) -> float:
    """Mean score; less that without guidance; less the cost of tokens: whatever `rules` say.

    Saying nothing costs nothing and gains nothing, so abstaining earns 0 under `subtract_baseline`.

    Args:
        without: scores without guidance under the same seeds; not read unless `subtract_baseline`.
        tokens: of the guidance as the agent saw it.

    Example:
        >>> reward(RewardRules(subtract_baseline=True, token_cost=0.01), [1.0], [0.0], 20)
        0.8
    """
    found = fmean(scores)
    if rules.subtract_baseline:
        found -= fmean(without)
    return found - rules.token_cost * tokens
