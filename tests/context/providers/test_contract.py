"""One suite for every provider (A1): determinism, cap, parts, abstention, purity, parallel calls."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.render import part
from cleartrace.context.playbook.types import Playbook
from cleartrace.context.provider import ContextProvider
from cleartrace.context.providers import (
    Abstaining,
    Dropout,
    Empty,
    Hybrid,
    Instructed,
    Model,
    PlaybookProvider,
    Probing,
    Retrieved,
    SolvedAlone,
    Static,
    Unlike,
    Without,
    rows_of,
)
from cleartrace.episodes.types import PartKind, Task
from cleartrace.llm.protocol import Request
from cleartrace.llm.scripted import Scripted
from cleartrace.llm.tokens import count_tokens

TEXTS = [
    "Check the balance before you pay a bill {now}.",
    "List every page of results until one is empty.",
    "Ask for the password before you log in to the shop.",
    "Sort messages by date and take the newest one.",
]
BOOK = apply(Playbook(), [Operation(op=Op.ADD, texts=(text,), section="checks") for text in TEXTS]).playbook
QUESTIONS = (
    "Pay the bill of the month.",
    "How many results are there?",
    "Log in to the shop and look at messages.",
    "zzz qqq {x}",
)
TASKS = [Task(environment="office", id=f"t{n}", input=text) for n, text in enumerate(QUESTIONS)]


def written(request: Request) -> str:
    """Depends on the task and the seed, as a model's answer does, and abstains on one task."""
    asked = request.messages[-1].content
    return "NONE" if "zzz" in asked else f"Look at {sum(map(ord, asked)) % 97} things; seed {request.seed}.\n" * 6


def model(**options) -> Model:
    return Model(Scripted(written), **options)


def dropout(cap: int | None) -> Dropout:
    return Dropout(PlaybookProvider(BOOK, cap), 0.5)


@dataclass(frozen=True)
class Case:
    """`make(cap)`: the provider; `entries`: its text shows entries of BOOK; `probe`: what its runs are marked as."""

    make: Callable[[int | None], ContextProvider]
    entries: bool = False
    seeded: bool = False
    probe: str = ""


CASES = {
    "empty": Case(lambda cap: Empty()),
    "static": Case(lambda cap: Static("\n".join(TEXTS), cap)),
    "playbook": Case(lambda cap: PlaybookProvider(BOOK, cap), entries=True),
    "playbook, cited": Case(lambda cap: PlaybookProvider(BOOK, cap, cite=True), entries=True),
    "no playbook": Case(lambda cap: PlaybookProvider(Playbook(), cap)),
    "bm25": Case(lambda cap: Retrieved(rows_of(BOOK), k=2, cap=cap), entries=True),
    "tfidf": Case(lambda cap: Retrieved(rows_of(BOOK), k=2, method="tfidf", cap=cap), entries=True),
    "model": Case(lambda cap: model(cap=cap), seeded=True),
    "hybrid": Case(lambda cap: Hybrid(Retrieved(rows_of(BOOK), k=2, cap=cap), model(cap=cap), cap), seeded=True),
    "abstaining": Case(lambda cap: Abstaining(PlaybookProvider(BOOK, cap), SolvedAlone({"t1": 1.0})), entries=True),
    "unlike": Case(lambda cap: Abstaining(PlaybookProvider(BOOK, cap), Unlike(TEXTS)), entries=True),
    "probing": Case(lambda cap: Probing(PlaybookProvider(BOOK, cap), "full"), entries=True, probe="instructions: full"),
    "instructed": Case(lambda cap: Instructed(PlaybookProvider(BOOK, cap), "standard"), entries=True),
    "without": Case(lambda cap: Without(PlaybookProvider(BOOK, 400), ["e2"]), entries=True, probe="without: e2"),
    "dropout": Case(lambda cap: dropout(cap), entries=True, seeded=True, probe="dropout: 0.5"),
    "hybrid over dropout": Case(
        lambda cap: Hybrid(dropout(cap), model(cap=cap), cap), seeded=True, probe="dropout: 0.5"
    ),
    "abstaining over probing": Case(
        lambda cap: Abstaining(Probing(PlaybookProvider(BOOK, cap), "full"), SolvedAlone({"t1": 1.0})),
        entries=True,
        probe="instructions: full",
    ),
    "abstaining over instructed dropout": Case(
        lambda cap: Abstaining(Instructed(dropout(cap), "minimal"), SolvedAlone({"t1": 1.0})),
        entries=True,
        seeded=True,
        probe="dropout: 0.5",
    ),
    "abstaining over hybrid": Case(
        lambda cap: Abstaining(Hybrid(Without(PlaybookProvider(BOOK, 400), ["e2"]), model(), 400), Unlike(TEXTS)),
        seeded=True,
        probe="without: e2",
    ),
}
EVERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
ASKED = [(task, seed) for task in TASKS for seed in (0, 1)]


def ask(provider: ContextProvider, asked=ASKED):
    async def in_turn():
        return [await provider.context_for(task, seed) for task, seed in asked]

    return asyncio.run(in_turn())


@EVERY
def test_a1_equal_state_task_and_seed_give_equal_answers(case):
    first, second = case.make(60), case.make(60)
    assert first.hash == second.hash
    assert ask(first) == ask(second)


@EVERY
def test_a1_order_and_repetition_of_questions_change_nothing(case):
    provider = case.make(60)
    before = provider.hash
    shuffled = random.Random(3).sample(ASKED * 2, 2 * len(ASKED))
    answers = dict(zip(((task.id, seed) for task, seed in shuffled), ask(provider, shuffled), strict=True))
    assert [answers[task.id, seed] for task, seed in ASKED] == ask(case.make(60))
    assert provider.hash == before


@EVERY
def test_a1_parallel_questions_get_the_answers_of_questions_in_turn(case):
    async def at_once(provider):
        return await asyncio.gather(*(provider.context_for(task, seed) for task, seed in ASKED * 3))

    assert asyncio.run(at_once(case.make(60))) == ask(case.make(60)) * 3


@EVERY
@pytest.mark.parametrize("cap", [0, 1, 5, 12, 20, 33, 47, 80, 150])
def test_a1_no_answer_is_over_the_cap(case, cap):
    provider = case.make(cap)
    allowed = cap if provider.cap is None else provider.cap
    for context in ask(provider):
        assert count_tokens(context.text) <= allowed
        assert context.abstained == (context.text == "")


@EVERY
@pytest.mark.parametrize("cap", [0, 12, 80, None])
def test_r4_a_probe_is_marked_on_every_task_also_where_nothing_is_said(case, cap):
    provider = case.make(cap)
    assert {context.probe for context in ask(provider)} == {case.probe} == {getattr(provider, "probe", "")}


@EVERY
def test_a1_parts_are_what_the_text_was_built_from(case):
    provider = case.make(None)
    for context in ask(provider):
        assert context.provider_hash == provider.hash
        assert bool(context.parts) <= bool(context.text)
        entries = [one for one in context.parts if one.kind is PartKind.ENTRY]
        assert all(one == part(BOOK.entry(one.id)) for one in entries)
        if case.entries:
            assert {one.id for one in entries} == {entry.id for entry in BOOK.entries if entry.text in context.text}
            assert all(f"[{one.id}]" in context.text for one in entries)


@EVERY
def test_a1_only_some_providers_look_at_the_seed(case):
    provider = case.make(None)
    zero, one = (ask(provider, [(task, seed) for task in TASKS]) for seed in (0, 1))
    assert (zero != one) == case.seeded


@EVERY
def test_a1_asking_changes_nothing_that_is_learned(case):
    before = copy.deepcopy(BOOK)
    ask(case.make(30))
    assert before == BOOK


@EVERY
def test_a4_nothing_known_afterwards_can_be_asked_for(case):
    """A task has no field for an answer; whatever else an adapter hangs on it reaches no context."""
    plain = TASKS[0]
    marked = Task.model_validate({**plain.model_dump(), "answer": "CANARY-ANSWER", "score": "CANARY-SCORE"})
    for context in ask(case.make(None), [(marked, 0)]):
        assert "CANARY" not in context.text


def test_a1_the_suite_knows_every_provider():
    from cleartrace.context import providers

    made = {type(case.make(60)) for case in CASES.values()}
    shipped = {getattr(providers, name) for name in providers.__all__}
    assert {one for one in shipped if isinstance(one, type) and hasattr(one, "context_for")} == made
