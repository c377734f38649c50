"""Best-of-n: independent candidates, chosen on validation."""

from __future__ import annotations

import asyncio

import pytest

from cleartrace.agents.runner import Runner
from cleartrace.context.playbook.rules import Rules
from cleartrace.context.playbook.types import Playbook
from cleartrace.context.providers.simple import PlaybookProvider
from cleartrace.environments.ruleworld import RuleWorld, ScriptedMutator, ScriptedReflector, SimulatedAgent
from cleartrace.learn.baselines.best_of_n import BestOfN, Candidate

WORLD = RuleWorld(seed=5)


def learn(validation: int = 20, n: int = 6) -> tuple[Candidate, tuple[Candidate, ...]]:
    world = WORLD.world
    runner, reflector, mutator = Runner(SimulatedAgent(world)), ScriptedReflector(world), ScriptedMutator(world)
    method = BestOfN(runner, reflector, mutator, PlaybookProvider, Rules(), n=n)
    start = Playbook(sections=dict(WORLD.sections))
    return asyncio.run(method.learn(start, WORLD.tasks("train"), WORLD.tasks("val")[:validation]))


def test_the_best_candidate_wins_and_no_candidate_builds_on_another() -> None:
    best, found = learn()
    assert len(found) == 7 and len(found[0].playbook) == 0
    assert best.score == max(one.score for one in found) and best in found
    assert all(entry.id == f"e{i}" for one in found for i, entry in enumerate(one.playbook.entries, 1))
    assert len({tuple(entry.text for entry in one.playbook.entries) for one in found}) > 2


def test_a_tie_goes_to_the_smaller_playbook() -> None:
    best, found = learn(validation=1)
    tied = [one for one in found if one.score == best.score]
    assert sum(map(len, (entry.text for entry in best.playbook.entries))) == min(
        sum(len(entry.text) for entry in one.playbook.entries) for one in tied
    )


def test_it_is_repeatable() -> None:
    assert learn() == learn()


def test_without_validation_there_is_nothing_to_choose_by() -> None:
    with pytest.raises(ValueError, match="validation tasks"):
        learn(validation=0)
