"""Reflections over sets of runs, made once each; and the rows that they give."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.runner import Progress, Runner
from cleartrace.agents.tool_loop import ToolLoopAgent
from cleartrace.context.providers.simple import Empty
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Episode, Task
from cleartrace.episodes.view import empty_folder
from cleartrace.learn.clear.funnel import Funnel
from cleartrace.learn.clear.leaks import GuidanceFilter
from cleartrace.learn.clear.project import (
    Collected,
    Project,
    ProjectError,
    Reflected,
    settle,
    write_record,
    write_records,
)
from cleartrace.learn.clear.reflect_settings import ReflectSettings
from cleartrace.learn.clear.reflection import NAME, ReflectionEnvironment, ReflectionRules
from cleartrace.learn.clear.rows import Rows, gather
from cleartrace.learn.clear.subsets import Subset, missing, possible, subsets
from cleartrace.learn.shell.agent import AsReflector, reading_agent
from cleartrace.llm.budget import Budget
from cleartrace.llm.budget import Limits as BudgetLimits
from cleartrace.llm.connect import ConnectError, connect
from cleartrace.llm.ledger import Ledger
from cleartrace.llm.protocol import LLM, BudgetExhausted


@dataclass(frozen=True)
class Result:
    """`stopped`: why the reflections ended early; "" when all were made."""

    funnel: Funnel
    stopped: str = ""


async def reflect(
    settings: ReflectSettings,
    project: Project,
    begin: Callable[[int], None] = lambda runs: None,
    progress: Callable[[Progress], None] | None = None,
    llm: LLM | None = None,
) -> Result:
    """Make the reflections that the project lacks, then gather rows from all.

    Args:
        llm: in place of connecting `settings.model`, for tests.

    Raises:
        ProjectError: nothing was collected, settings that cannot be used, or rows of other settings are there.
    """
    made, tasks, store = project.collected(), project.tasks(), EpisodeStore(project.episodes)
    chosen = _subsets(settings, made, tasks, store)
    stopped = ""
    async with AsyncExitStack() as stack:
        model = llm or _connect(settings, project, stack)
        scratch = empty_folder(project.reading)
        environment = ReflectionEnvironment(store, chosen, _rules(settings), settings.shell_limits, scratch)
        agent = _agent(settings, model, environment)
        record = _record(settings, agent)
        hint = f"keep these rows and give the others a name, `--name NAME`, or remove {project.reflected_file}"
        settle(project.reflected_file, record, hint)
        reflections = EpisodeStore(project.reflections)
        begin(len(chosen))
        try:
            await _run(settings, agent, reflections, chosen, progress)
        except BudgetExhausted as error:
            stopped = str(error)
    found = [one for subset in chosen if (one := _made(reflections, record, subset)) is not None]
    rows = gather(chosen, found, _filter(settings, made, tasks, project, store).leak)
    funnel = _funnel(settings, made, tasks, store, chosen, rows)
    _write(project, rows, funnel)
    return Result(funnel, stopped)


def _subsets(settings: ReflectSettings, made: Collected, tasks: Sequence[Task], store: EpisodeStore) -> list[Subset]:
    chosen = subsets(
        store, tasks, n=settings.n, k=settings.k, order=made.seeds, limit=settings.limit, keep=settings.keep,
        seed=settings.seed, agent=made.agent, provider=made.provider,
    )  # fmt: skip
    if not chosen:
        most = max((len(store.group(task, agent=made.agent, provider=made.provider)) for task in tasks), default=0)
        raise ProjectError(
            f"there is no set to look at: {len(tasks)} tasks, at most {most} scored runs each, k = {settings.k}, "
            f"keep = {settings.keep.value}; collect more runs, or take a smaller -k or --keep all"
        )
    return chosen


def _rules(settings: ReflectSettings) -> ReflectionRules:
    return ReflectionRules(max_words=settings.max_words, outcomes=settings.outcomes)


def _connect(settings: ReflectSettings, project: Project, stack: AsyncExitStack) -> LLM:
    limits = BudgetLimits(settings.max_calls or None, settings.max_tokens or None, settings.max_cost or None)
    budget = Budget(Ledger(), limits)
    try:
        llm = connect(
            settings.model, budget=budget, cache=project.replies, concurrency=settings.max_workers,
            prices=settings.prices or None,
        )  # fmt: skip
    except (ConnectError, ImportError, ValueError) as error:
        raise ProjectError(str(error)) from error
    stack.push_async_callback(llm.close)
    return llm


def _agent(settings: ReflectSettings, llm: LLM, environment: ReflectionEnvironment) -> ToolLoopAgent:
    return reading_agent(
        AsReflector(llm), environment, settings.shell_limits, max_turns=settings.max_steps,
        max_output_tokens=settings.max_output_tokens, temperature=settings.temperature,
        thinking=settings.thinking_level, style=settings.call_style,
    )  # fmt: skip


def _record(settings: ReflectSettings, agent: ToolLoopAgent) -> Reflected:
    return Reflected(
        writer=agent.hash, settings=settings.model_dump(mode="json"), k=settings.k, n=settings.n,
        keep=settings.keep.value, seed=settings.seed, limit=settings.limit, general_from=settings.general_from,
    )  # fmt: skip


async def _run(
    settings: ReflectSettings,
    agent: ToolLoopAgent,
    store: EpisodeStore,
    chosen: Sequence[Subset],
    progress: Callable[[Progress], None] | None,
) -> None:
    runner = Runner(
        agent, store, concurrency=settings.max_workers, time_limit_s=settings.task_timeout, progress=progress
    )
    environment = agent.host.environment  # type: ignore[attr-defined]
    seed, empty = run_seed(settings.seed), Empty()
    await runner.run([RunRequest(task, seed, empty) for task in environment.tasks()])


def run_seed(seed: int) -> int:
    """Of every reflection: sets differ, and so do their prompts."""
    return random.Random(f"{seed}:reflect").randrange(2**31)


def _made(store: EpisodeStore, record: Reflected, subset: Subset) -> Episode | None:
    """The reflection on a set that counts, or else one that somebody else than the model spoiled."""
    rows = store.find(environment=NAME, task=subset.id, agent=record.writer, seed=run_seed(record.seed))
    rows.sort(key=lambda row: (row.score is None, row.failure == "time_limit", row.id))
    return store.get(rows[0].id) if rows else None


def _filter(
    settings: ReflectSettings, made: Collected, tasks: Sequence[Task], project: Project, store: EpisodeStore
) -> GuidanceFilter:
    rows = [row for task in tasks for row in store.group(task, agent=made.agent, provider=made.provider)]
    return GuidanceFilter(tasks, (store.get(row.id) for row in rows), project.gold(), settings.general_from)


def _funnel(
    settings: ReflectSettings,
    made: Collected,
    tasks: Sequence[Task],
    store: EpisodeStore,
    chosen: Sequence[Subset],
    rows: Rows,
) -> Funnel:
    return Funnel.of(
        tasks=len(tasks),
        short=len(missing(store, tasks, settings.n, agent=made.agent, provider=made.provider)),
        possible=possible(store, tasks, settings.n, settings.k, agent=made.agent, provider=made.provider),
        subsets=len(chosen),
        rows=rows,
    )


def _write(project: Project, rows: Rows, funnel: Funnel) -> None:
    write_records(project.rows_file, rows.rows)
    write_records(project.dropped_file, rows.dropped)
    write_record(project.funnel_file, funnel)
