"""A28: the ACE-style loop in the rule world."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.runner import Runner
from cleartrace.context.playbook.types import Playbook
from cleartrace.context.providers.simple import PlaybookProvider
from cleartrace.environments.ruleworld import RuleWorld, ScriptedMutator, ScriptedReflector, SimulatedAgent
from cleartrace.episodes.types import Episode, Failure, FailureKind, Outcome
from cleartrace.learn.baselines.ace import Ace, AceConfig, AceMode, Beside
from cleartrace.learn.protocol import Proposal, Reflection, Signal

WORLD = RuleWorld(seed=3)


class Watched:
    """A runner that keeps what was asked of it; a reflector that keeps what it was shown."""

    def __init__(self, spoil: bool = False, spoil_retries: bool = False) -> None:
        self.requests: list[RunRequest] = []
        self.shown: list[Playbook] = []
        self._runner = Runner(SimulatedAgent(WORLD.world))
        self._reflector = ScriptedReflector(WORLD.world)
        self._spoil, self._spoil_retries = spoil, spoil_retries

    async def run(self, requests: Sequence[RunRequest]) -> list[Episode]:
        self.requests += requests
        episodes = await self._runner.run(requests)
        lost = {"outcome": Outcome(score=None, failure=Failure(kind=FailureKind.ENGINE))}
        return [
            one.model_copy(update=lost) if self._spoil or self._spoil_retries and _is_retry(asked) else one
            for asked, one in zip(requests, episodes, strict=True)
        ]

    async def reflect(self, signals: Sequence[Signal], playbook: Playbook, seed: int) -> tuple[Reflection, ...]:
        self.shown.append(playbook)
        return await self._reflector.reflect(signals, playbook, seed)


class Curator:
    """Keeps the runs that it is shown."""

    def __init__(self) -> None:
        self.shown: list[Episode] = []
        self._mutator = ScriptedMutator(WORLD.world)

    async def propose(
        self, playbook: Playbook, signals: Sequence[Signal], reflections: Sequence[Reflection], memory: str, seed: int
    ) -> Proposal:
        self.shown += [episode for signal in signals for episode in signal.episodes]
        return await self._mutator.propose(playbook, signals, reflections, memory, seed)


def _is_retry(request: RunRequest) -> bool:
    return isinstance(request.provider, Beside)


def ace(watched: Watched, **settings: object) -> Ace:
    mutator = ScriptedMutator(WORLD.world)
    config = AceConfig(**settings)  # type: ignore[arg-type]
    return Ace(watched, watched, mutator, lambda book: PlaybookProvider(book, cite=True), config)


def learn(one: Ace, tasks: int = 24, **more: object):
    return asyncio.run(one.learn(Playbook(sections=dict(WORLD.sections)), WORLD.tasks("train")[:tasks], **more))


def test_a_playbook_grows_and_helps() -> None:
    found = learn(ace(Watched()))
    world, test = WORLD.world, WORLD.tasks("test")
    from cleartrace.context.playbook.render import View, render

    before, after = (world.mean_success(test, text) for text in ("", render(found.playbook, View.AGENT).text))
    assert len(found.playbook) >= 3 and after > before + 0.05
    assert {one.revision for one in found.playbook.entries} == {1}, "entries are added and never changed"


def test_at_most_three_rounds_and_none_after_a_pass() -> None:
    watched = Watched()
    found = learn(ace(watched))
    assert {step.rounds for step in found.steps} <= {0, 1, 2, 3} and max(step.rounds for step in found.steps) == 3
    assert all(step.rounds == 0 for step in found.steps if step.first == 1.0)
    assert len(watched.requests) == len(found.steps) + sum(step.rounds for step in found.steps)


def test_a_retry_sees_the_reflection_beside_the_playbook() -> None:
    watched = Watched()
    learn(ace(watched), tasks=6)
    texts = [asyncio.run(one.provider.context_for(one.task, one.seed)).text for one in watched.requests]
    retries = [text for text in texts if "An earlier attempt" in text]
    assert retries and len({one.provider.hash for one in watched.requests}) > 1


def test_the_reflector_sees_cited_entries_alone_and_they_are_recorded() -> None:
    watched = Watched()
    found = learn(ace(watched))
    cited = [set(step.cited) for step in found.steps]
    assert any(cited) and {entry.id for book in watched.shown for entry in book.entries} == set().union(*cited)
    assert max(len(book) for book in watched.shown) < len(found.playbook)


def test_the_best_on_validation_is_kept() -> None:
    found = learn(ace(Watched(), validate_every=6), validation=WORLD.tasks("val")[:12])
    assert [position for position, _ in found.validations] == [6, 12, 18, 24]
    best = max(found.validations, key=lambda one: one[1])
    assert (found.playbook == found.last) == (best[0] == 24 or found.validations[-1][1] > best[1])


def test_online_tests_a_window_before_it_learns_from_it() -> None:
    watched = Watched()
    found = learn(ace(watched, mode=AceMode.ONLINE, window=10))
    assert len(found.tested) == 24 == len(found.steps)
    assert [id for id, _ in found.tested] == [step.task_id for step in found.steps]
    first = watched.requests[:10]
    assert len({one.task.id for one in first}) == 10 and len({one.provider.hash for one in first}) == 1


def test_the_curator_comes_every_so_often() -> None:
    found = learn(ace(Watched(), curator_frequency=4))
    assert all(step.added == 0 for number, step in enumerate(found.steps, 1) if number % 4)


def test_what_failed_through_no_fault_of_the_model_teaches_nothing() -> None:
    watched = Watched(spoil=True)
    found = learn(ace(watched), tasks=5)
    assert not watched.shown and len(found.playbook) == 0 and [step.first for step in found.steps] == [None] * 5


def test_a_spoiled_retry_reaches_neither_the_curator_nor_a_source() -> None:
    watched, curator = Watched(spoil_retries=True), Curator()
    method = ace(watched)
    method.curator = curator
    found = learn(method, tasks=12)
    assert any(step.rounds for step in found.steps), "no retry was spoiled"
    assert len(curator.shown) == 12 and all(episode.outcome.scored for episode in curator.shown)
    sources = {id for entry in found.playbook.entries if entry.source for id in entry.source.episodes}
    assert sources and sources <= {episode.id for episode in curator.shown}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_is_the_seed_s(seed: int) -> None:
    orders = [[step.task_id for step in learn(ace(Watched(), seed=s)).steps] for s in (seed, seed, seed + 1)]
    assert orders[0] == orders[1] != orders[2]
