"""GEPA's own package on our runner, with a scripted rewriter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest

from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.runner import Runner
from cleartrace.environments.ruleworld import RuleWorld, SimulatedAgent
from cleartrace.episodes.types import Episode, Failure, FailureKind, Outcome
from cleartrace.learn.baselines.gepa import GepaConfig, GepaResult, gepa
from cleartrace.llm.protocol import BudgetExhausted, Request, Role
from cleartrace.llm.scripted import Scripted

pytest.importorskip("gepa", reason="the extra gepa is not installed")
WORLD = RuleWorld(seed=7)


class Counting:
    """A runner that counts, and from the `until`-th run on has an end."""

    def __init__(self, until: int = 10**9, spoil: int = -1) -> None:
        self.runs, self._until, self._spoil = 0, until, spoil
        self._runner = Runner(SimulatedAgent(WORLD.world))

    async def run(self, requests: list[RunRequest]) -> list[Episode]:
        self.runs += len(requests)
        if self.runs > self._until:
            raise BudgetExhausted("runs")
        episodes = await self._runner.run(requests)
        if self._spoil in range(self.runs - len(requests), self.runs):
            lost = Outcome(score=None, failure=Failure(kind=FailureKind.SANDBOX, message="the disk is full"))
            episodes[0] = episodes[0].model_copy(update={"outcome": lost})
        return episodes


def one_rule_more(request: Request) -> str:
    """Writes what a rewriter would: the old text and one more of the true rules, in the fence that GEPA asks for."""
    rules = WORLD.world.gold_context().splitlines()
    asked = request.messages[-1].content
    known = [rule for rule in rules if rule in asked]
    return "```\n" + "\n".join([*known, *(rule for rule in rules if rule not in known)][: len(known) + 3]) + "\n```"


def improve(runner: Counting, model: Scripted, runs: int = 150, run_dir: Path | None = None) -> GepaResult:
    tasks, validation = WORLD.tasks("train")[:20], WORLD.tasks("val")[:12]
    work = gepa(
        runner, model, "Sort each item of the order.", tasks, validation, GepaConfig(max_runs=runs), run_dir=run_dir
    )
    return asyncio.run(work)


def test_it_improves_the_text_and_counts_its_runs() -> None:
    runner, model = Counting(), Scripted(one_rule_more)
    found = improve(runner, model)
    world, test = WORLD.world, WORLD.tasks("test")
    assert world.mean_success(test, found.text) > world.mean_success(test, "") + 0.1
    assert found.candidates > 1 and not found.stopped
    assert found.runs == runner.runs < 150 + 2 * (12 + 3)
    assert {request.role for request in model.requests} == {Role.MUTATOR}


class Level:
    """A runner whose runs all have one score, whatever the text."""

    async def run(self, requests: Sequence[RunRequest]) -> list[Episode]:
        episodes = await Runner(SimulatedAgent(WORLD.world)).run(requests)
        return [one.model_copy(update={"outcome": Outcome(score=0.5)}) for one in episodes]


@pytest.mark.parametrize(("strict", "accepted"), [(True, False), (False, True)])
def test_a28_a_rewrite_that_is_only_as_good_is_accepted_where_the_rule_is_not_strict(
    strict: bool, accepted: bool
) -> None:
    texts = count()
    model = Scripted(lambda request: f"```\nText {next(texts)}.\n```")
    tasks, validation = WORLD.tasks("train")[:6], WORLD.tasks("val")[:4]
    config = GepaConfig(max_runs=40, strict=strict)
    found = asyncio.run(gepa(Level(), model, "Sort each item.", tasks, validation, config))
    assert model.requests and (found.candidates > 1) == accepted


def test_no_prompt_holds_the_name_of_a_split_or_an_answer_of_validation() -> None:
    model = Scripted(one_rule_more)
    improve(Counting(), model, runs=60)
    asked = "".join(request.messages[-1].content for request in model.requests)
    assert asked and not any(task.input in asked for task in WORLD.tasks("val")[:12])


def test_the_end_of_the_budget_is_a_clean_end() -> None:
    found = improve(Counting(until=40), Scripted(one_rule_more))
    assert "runs" in found.stopped and found.text


def test_a_run_without_a_score_is_no_zero() -> None:
    """GEPA skips the iteration in which it came about."""
    found = improve(Counting(spoil=14), Scripted(one_rule_more), runs=100)
    assert found.candidates > 1 and not found.stopped


def test_it_is_repeatable_and_leaves_its_checkpoint(tmp_path: Path) -> None:
    one, other = (improve(Counting(), Scripted(one_rule_more), 80, tmp_path / name) for name in ("a", "b"))
    assert one == other and any((tmp_path / "a").iterdir())
