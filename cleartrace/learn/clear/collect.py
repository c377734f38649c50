"""Runs to contrast: n of each task by one frozen agent, under common seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.runner import Progress
from cleartrace.agents.workplace import AgentConfig, WorkplaceError, open_workplace
from cleartrace.context.providers.spec import provider_from_spec
from cleartrace.data.errors import DataError
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import PASS, Task
from cleartrace.learn.clear.gold import keep_gold
from cleartrace.learn.clear.project import Collected, Project, run_seeds, settle, write_records
from cleartrace.llm.ledger import LEDGER

ELSEWHERE = "repeat the settings of before, or collect into another folder"


@dataclass(frozen=True)
class CollectPlan:
    """What is collected.

    Args:
        runs: of each task; run i of every task has the same seed.
        context: what the agent is given, as `provider_from_spec` reads it.
        limit: so many tasks, of the scenarios in turn: what is split by scenario later needs several.
    """

    runs: int = 6
    context: str = "none"
    split: str = "train"
    limit: int | None = None
    cap: int | None = None
    seed: int = 42

    @property
    def seeds(self) -> tuple[int, ...]:
        return run_seeds(self.seed, self.runs)


async def collect(
    config: AgentConfig,
    plan: CollectPlan,
    project: Project,
    begin: Callable[[int], None] = lambda runs: None,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Make the runs that the project lacks, task by task, so that what a budget cuts off leaves whole groups.

    Raises:
        WorkplaceError: settings that cannot be used. ProjectError: the folder was begun with others.
        BudgetExhausted: what was finished is kept; the same call goes on.
    """
    async with AsyncExitStack() as stack:
        store = EpisodeStore(project.episodes)
        place = await open_workplace(
            config, store, stack, cap=plan.cap, ledger=project.folder / LEDGER, replies=project.replies,
            progress=progress,
        )  # fmt: skip
        tasks = spread(place.split(plan.split), plan.limit)
        try:
            provider = provider_from_spec(plan.context, plan.cap, place.models)
        except (ValueError, DataError) as error:
            raise WorkplaceError(str(error)) from error
        place.models.check()
        made = Collected(
            environment=config.environment, environment_options=config.environment_options, split=plan.split,
            agent=place.agent.hash, agent_settings=config.decoding, context=plan.context, provider=provider.hash,
            cap=plan.cap, seed=plan.seed, runs=plan.runs, limit=plan.limit,
        )  # fmt: skip
        settle(project.collected_file, made, ELSEWHERE)
        write_records(project.tasks_file, tasks)
        await keep_gold(project, place, config, tasks, plan.seeds[0])
        begin(len(tasks) * plan.runs)
        await place.runner.run([RunRequest(task, seed, provider) for task in tasks for seed in plan.seeds])


def spread(tasks: Sequence[Task], limit: int | None) -> list[Task]:
    """The first task of each scenario, then the second of each, and so on, until there are `limit`; in their order."""
    if limit is None or limit >= len(tasks):
        return list(tasks)
    met: Counter[str] = Counter()
    ranked = []
    for place, task in enumerate(tasks):
        group = task.group or task.id
        ranked.append((met[group], place))
        met[group] += 1
    return [tasks[place] for place in sorted(place for _, place in sorted(ranked)[:limit])]


@dataclass(frozen=True)
class TaskRuns:
    """What the runs of one task came to. `lost`: runs without a score."""

    task: Task
    wanted: int
    scores: tuple[float, ...]
    lost: int

    @property
    def passed(self) -> int:
        return sum(score >= PASS for score in self.scores)

    @property
    def kind(self) -> str:
        """contrastive, all passed, none passed, or no runs; the last ones may yet change where runs are missing."""
        if not self.scores:
            return "no runs"
        if 0 < self.passed < len(self.scores):
            return "contrastive"
        return "all passed" if self.passed else "none passed"


def outcomes(project: Project) -> list[TaskRuns]:
    """By task, of the runs that the later stages would look at. Raises `ProjectError` before `collect`."""
    made, tasks = project.collected(), project.tasks()
    store = EpisodeStore(project.episodes)
    found = []
    for task in tasks:
        rows = store.find(environment=task.environment, task=task.id, agent=made.agent, provider=made.provider)
        clean = [row for row in rows if row.clean]
        scored = {row.seed for row in clean if row.score is not None}
        lost = len({row.seed for row in clean} - scored)
        group = store.group(task, n=made.runs, order=made.seeds, agent=made.agent, provider=made.provider)
        scores = tuple(row.score for row in group if row.score is not None)
        found.append(TaskRuns(task, made.runs, scores, lost))
    return found
