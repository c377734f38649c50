"""Runs to contrast: n of each task by one frozen agent, under common seeds; or runs that others made."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.runner import Progress
from cleartrace.agents.tool_loop import ToolLoopAgent
from cleartrace.agents.workplace import AgentConfig, Workplace, WorkplaceError, open_workplace
from cleartrace.context.providers.spec import provider_from_spec
from cleartrace.data.errors import DataError
from cleartrace.data.files import read_json_lines, write_json_lines
from cleartrace.environments.inprocess import InProcess
from cleartrace.environments.protocol import Action, EnvironmentFault
from cleartrace.environments.registry import load
from cleartrace.episodes.identity import TaskKey
from cleartrace.episodes.importers.common import Source
from cleartrace.episodes.importers.formats import Report, import_into
from cleartrace.episodes.names import Format
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import PASS, Episode, RunKind, StepKind, Task
from cleartrace.learn.clear.project import Collected, Project, ProjectError, settle, write_records

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
        """Those of fewer runs come first, so that more can be added later."""
        return tuple(random.Random(f"{self.seed}:collect:{number}").randrange(2**31) for number in range(self.runs))


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
        place = await open_workplace(config, store, stack, cap=plan.cap, replies=project.replies, progress=progress)
        tasks = spread(place.split(plan.split), plan.limit)
        try:
            provider = provider_from_spec(plan.context, plan.cap, place.models)
        except (ValueError, DataError) as error:
            raise WorkplaceError(str(error)) from error
        made = Collected(
            environment=config.environment, environment_options=config.environment_options, split=plan.split,
            agent=place.agent.hash, agent_settings=config.decoding, context=plan.context, provider=provider.hash,
            cap=plan.cap, seed=plan.seed, runs=plan.runs, limit=plan.limit,
        )  # fmt: skip
        settle(project.collected_file, made, ELSEWHERE)
        write_records(project.tasks_file, tasks)
        await _keep_gold(project, place, config, tasks, plan.seeds[0])
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


async def _keep_gold(project: Project, place: Workplace, config: AgentConfig, tasks: Sequence[Task], seed: int) -> None:
    """Answers that the environment knows, for the leak filter: later stages need no environment."""
    known = project.gold()
    if set(known) >= {task.id for task in tasks}:
        return
    if isinstance(place.agent, ToolLoopAgent):
        host: Any = place.agent.host
    else:
        host = InProcess(load(config.environment, **config.environment_options))
    found = dict(known)
    for task in tasks:
        if task.id not in found:
            found[task.id] = await _gold(host, task.id, seed)
    write_json_lines(project.gold_file, ({"id": id, "values": values} for id, values in found.items()))


async def _gold(host: Any, task_id: str, seed: int) -> list[str]:
    try:
        actions: Sequence[Action] = await host.gold(task_id, seed) or ()
    except EnvironmentFault:
        return []
    said = [value for one in actions for value in (one.text, *(v for c in one.calls for v in leaves(c.arguments)))]
    return list(dict.fromkeys(filter(None, said)))


def leaves(value: Any) -> Iterator[str]:
    """Texts and numbers in a JSON value, as text.

    Example:
        >>> list(leaves({"to": "Ada", "amounts": [3, 4.5], "now": True}))
        ['Ada', '3', '4.5']
    """
    if isinstance(value, Mapping):
        for one in value.values():
            yield from leaves(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from leaves(one)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield str(value)


@dataclass(frozen=True)
class Adoption:
    """Runs of others. `scenario`: pattern whose first group, in a task's id, names its scenario. `tasks`: a file of
    tasks, JSON lines with `id` and `input`, in place of what the runs say of theirs."""

    source: Source
    format: Format | None = None
    scenario: str = ""
    tasks: Path | None = None


def adopt(adoption: Adoption, project: Project) -> Report:
    """Import runs, and the tasks that they were on.

    Raises:
        ProjectError: no run counts, several agents made them, or the folder holds other runs.
        ValueError, DataError: the source or the file of tasks cannot be read.
    """
    store = EpisodeStore(project.episodes)
    report = import_into(store, adoption.source, adoption.format)
    rows = [row for row in store.find(kind=RunKind.CLEAN) if row.score is not None]
    if not rows:
        raise ProjectError(f"{adoption.source.path} holds no run with a score: there is nothing to contrast")
    agents = sorted({row.agent for row in rows})
    if len(agents) > 1:
        raise ProjectError(
            f"several agents made these runs ({', '.join(agents[:5])}), which cannot be contrasted: bring the runs of "
            "one into a store of its own with `cleartrace episodes import`"
        )
    environment = ", ".join(sorted({row.environment for row in rows}))
    most = max(len(store.group(key)) for key in store.tasks())
    made = Collected(
        environment=environment, split="", agent=agents[0], context="as imported", runs=most,
        source=str(adoption.source.path), scenario=adoption.scenario,
    )  # fmt: skip
    settle(project.collected_file, made, ELSEWHERE)
    given = _given_tasks(adoption.tasks) if adoption.tasks else {}
    write_records(project.tasks_file, [_task(store, key, adoption.scenario, given) for key in store.tasks()])
    return report


def _given_tasks(path: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for number, row in read_json_lines(path):
        if not isinstance(row.get("id"), str) or not isinstance(row.get("input"), str):
            raise DataError(f"{path}, line {number}", 'a task needs texts under "id" and "input"')
        found[row["id"]] = row
    return found


def _task(store: EpisodeStore, key: TaskKey, scenario: str, given: Mapping[str, dict[str, Any]]) -> Task:
    """The first thing that was said to the agent, unless a file says what the task is."""
    found = re.search(scenario, key.id) if scenario else None
    group = next(iter(found.groups()), found[0]) if found else key.id
    if (row := given.get(key.id)) is not None:
        return Task.model_validate({"group": group, **row, "environment": key.environment})
    episode = store.get(store.find(environment=key.environment, task=key.id)[0].id)
    return Task(environment=key.environment, id=key.id, input=_asked(episode), group=group)


def _asked(episode: Episode) -> str:
    inputs = [step for step in episode.trajectory.steps if step.kind is StepKind.INPUT]
    return next((step.text for step in inputs if step.name != "system"), inputs[0].text if inputs else "")


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
        scores = [row.score for row in store.group(task, agent=made.agent, provider=made.provider)]
        found.append(TaskRuns(task, made.runs, tuple(one for one in scores if one is not None)[: made.runs], lost))
    return found
