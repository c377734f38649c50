"""What `cleartrace baseline` does once its options are read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console

from cleartrace.agents.workplace import AgentConfig, Workplace, WorkplaceError, open_workplace
from cleartrace.context.playbook.files import save
from cleartrace.context.playbook.ops import Op
from cleartrace.context.playbook.rules import Rules
from cleartrace.context.playbook.types import Playbook
from cleartrace.context.providers import PlaybookProvider
from cleartrace.data.files import finite, whole_file, write_json
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Task
from cleartrace.evaluate.stats import clustered_interval
from cleartrace.learn.baselines.ace import Ace, AceConfig, AceStep
from cleartrace.learn.baselines.best_of_n import BestOfN, Candidate
from cleartrace.learn.baselines.cheatsheet import Cheatsheet, CheatsheetConfig, CheatsheetStep
from cleartrace.learn.baselines.gepa import GepaConfig, gepa
from cleartrace.learn.baselines.names import Method
from cleartrace.learn.facts import Facts
from cleartrace.learn.mutate import LLMMutator, Options
from cleartrace.learn.protocol import Mutator, Reflector
from cleartrace.learn.reflect.reflector import LLMReflector
from cleartrace.llm.ledger import LEDGER
from cleartrace.llm.protocol import BudgetExhausted

EPISODES, REPLIES, RESULT, CONTEXT = "episodes", "replies", "result.json", "context.md"
RUNS = 500
"""Agent runs that GEPA may make, unless told."""
VALIDATION_SPLITS = ("val", "validation", "dev")


@dataclass(frozen=True)
class Order:
    """What the command line asks for.

    Args:
        n, batch_size: candidates of best-of-n, and the tasks each learns from; `runs`: agent runs of GEPA. None where
            they were not given.
    """

    method: Method
    output: Path
    split: str
    val_split: str
    reflector_model: str
    n: int | None
    batch_size: int | None
    runs: int | None
    cap: int | None
    seed: int


@dataclass(frozen=True)
class _Work:
    """A workplace with its learners and tasks. `model`: the spec of the one that reflects and edits, "" for none."""

    place: Workplace
    facts: Facts
    model: str
    reflector: Reflector
    mutator: Mutator
    train: Sequence[Task]
    validation: Sequence[Task]
    console: Console


async def learn(config: AgentConfig, order: Order, console: Console) -> None:
    """Learn, and write playbook or text and result. The same command goes on: no run and no reply is made twice.

    Raises:
        WorkplaceError: settings. BudgetExhausted: what was paid for is kept.
    """
    _check(config, order)
    async with AsyncExitStack() as stack:
        store = EpisodeStore(order.output / EPISODES)
        place = await open_workplace(
            config, store, stack, cap=order.cap, ledger=order.output / LEDGER, replies=order.output / REPLIES
        )
        add_only = order.method is Method.ACE
        facts = Facts(config.environment, place.domain, dict(place.sections))
        model = order.reflector_model or config.model
        reflector, mutator = _learners(config, place, facts, model, add_only)
        train, validation = place.split(order.split), _validation(place, order)
        work = _Work(place, facts, model, reflector, mutator, train, validation, console)
        result = await _METHODS[order.method](work, order)
    spent = list(map(asdict, place.budget.ledger.spent()))
    write_json(order.output / RESULT, finite({"method": order.method.value, **result, "spent": spent}))
    console.print(f"written to {order.output}", markup=False)


_READ_BY = {"n": Method.BEST_OF_N, "batch_size": Method.BEST_OF_N, "runs": Method.GEPA}


def _check(config: AgentConfig, order: Order) -> None:
    """Raises `WorkplaceError` for settings that would do nothing, or that choose by what was learned from."""
    for name, method in _READ_BY.items():
        if getattr(order, name) is not None and method is not order.method:
            raise WorkplaceError(f"{name}: no effect on {order.method.value}; {method.value} reads it")
    if order.method is Method.CHEATSHEET and order.val_split:
        raise WorkplaceError("val_split: no effect on cheatsheet, which chooses nothing: its runs are its test")
    if order.reflector_model and not config.model and order.method not in (Method.GEPA, Method.CHEATSHEET):
        raise WorkplaceError(f"reflector_model: no effect on {config.environment} without a model; give --model too")
    if config.prices and not (config.model or order.reflector_model):
        raise WorkplaceError("prices: no effect where no model is named")
    if order.val_split == order.split:
        raise WorkplaceError(f"the best is chosen on other tasks than those learned from, not on {order.split} again")


def _learners(
    config: AgentConfig, place: Workplace, facts: Facts, model: str, add_only: bool
) -> tuple[Reflector, Mutator]:
    if not config.model:
        from cleartrace.environments.ruleworld import RuleWorld, ScriptedMutator, ScriptedReflector

        world = RuleWorld(**config.environment_options).world
        return ScriptedReflector(world), ScriptedMutator(world)
    llm = place.models(model)
    options = Options(operations=(Op.ADD,)) if add_only else Options()
    return LLMReflector(llm, facts), LLMMutator(llm, facts, options)


def _validation(place: Workplace, order: Order) -> list[Task]:
    if order.val_split:
        return place.split(order.val_split)
    there = {task.split for task in place.tasks} - {order.split}
    return next((place.split(one) for one in VALIDATION_SPLITS if one in there), [])


def _empty(work: _Work) -> Playbook:
    return Playbook(sections=dict(work.place.sections))


async def _ace(work: _Work, order: Order) -> dict[str, Any]:
    def tell(step: AceStep) -> None:
        first = "no score" if step.first is None else f"{step.first:.2f}"
        work.console.print(f"{step.task_id}: {first}, {step.rounds} rounds, +{step.added} entries", markup=False)

    def provide(playbook: Playbook) -> PlaybookProvider:
        return PlaybookProvider(playbook, order.cap, cite=True)

    ace = Ace(work.place.runner, work.reflector, work.mutator, provide, AceConfig(seed=order.seed))
    found = await ace.learn(_empty(work), work.train, work.validation, tell)
    save(found.playbook, order.output / "playbook.json")
    save(found.last, order.output / "last.json")
    return {"entries": len(found.playbook), "validations": found.validations, "steps": list(map(asdict, found.steps))}


async def _best_of_n(work: _Work, order: Order) -> dict[str, Any]:
    if not work.validation:
        raise WorkplaceError("best-of-n chooses by validation tasks: name a split that has some with --val-split")

    def tell(candidate: Candidate) -> None:
        work.console.print(f"{len(candidate.playbook)} entries: {candidate.score:.3f} on validation", markup=False)

    method = BestOfN(
        work.place.runner, work.reflector, work.mutator, lambda book: PlaybookProvider(book, order.cap), Rules(),
        order.n or BestOfN.n, order.batch_size or BestOfN.batch_size, order.seed,
    )  # fmt: skip
    best, all = await method.learn(_empty(work), work.train, work.validation, tell)
    save(best.playbook, order.output / "playbook.json")
    candidates = [{"entries": len(one.playbook), "score": one.score, "runs": one.runs} for one in all]
    return {"entries": len(best.playbook), "score": best.score, "candidates": candidates}


async def _cheatsheet(work: _Work, order: Order) -> dict[str, Any]:
    if not work.model:
        raise WorkplaceError("cheatsheet rewrites with a model: name one with --reflector-model")

    def tell(step: CheatsheetStep) -> None:
        score = "no score" if step.score is None else f"{step.score:.2f}"
        work.console.print(f"{step.task_id}: {score}, {step.tokens} tokens {step.kept}", markup=False)

    config = CheatsheetConfig(cap=order.cap, seed=order.seed)
    method = Cheatsheet(work.place.runner, work.place.models(work.model), work.facts, config)
    memory, steps = await method.learn(work.train, tell)
    _write(order.output / CONTEXT, memory)
    return {**_online(steps, work.train), "steps": list(map(asdict, steps))}


def _online(steps: Sequence[CheatsheetStep], tasks: Sequence[Task]) -> dict[str, Any]:
    """Mean score of the runs as they came, and its interval by scenario."""
    scenario = {task.id: task.group or task.id for task in tasks}
    scored = [(step.score, scenario[step.task_id]) for step in steps if step.score is not None]
    counts = {"tasks": len(scored), "without_score": len(steps) - len(scored)}
    if not scored:
        return {"score": None, **counts}
    scores, scenarios = zip(*scored, strict=True)
    return {"score": fmean(scores), "interval": clustered_interval(scores, scenarios), **counts}


async def _gepa(work: _Work, order: Order) -> dict[str, Any]:
    if not order.reflector_model:
        raise WorkplaceError("gepa rewrites with a model: name one with --reflector-model")
    if not work.validation:
        raise WorkplaceError("gepa accepts by validation tasks: name a split that has some with --val-split")
    config = GepaConfig(max_runs=order.runs or RUNS, seed=order.seed)
    model = work.place.models(order.reflector_model)
    found = await gepa(
        work.place.runner, model, work.place.domain, work.train, work.validation, config, order.cap,
        order.output / "gepa",
    )  # fmt: skip
    _write(order.output / CONTEXT, found.text)
    work.console.print(f"{found.score:.3f} on validation, {found.candidates} candidates {found.stopped}", markup=False)
    if found.stopped:
        raise BudgetExhausted(found.stopped)
    return asdict(found)


def _write(path: Path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


_METHODS = {
    Method.ACE: _ace, Method.BEST_OF_N: _best_of_n, Method.CHEATSHEET: _cheatsheet, Method.GEPA: _gepa,
}  # fmt: skip
