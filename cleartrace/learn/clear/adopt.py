"""Runs that others made, and the tasks they were on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.data.errors import DataError
from cleartrace.data.files import read_json_lines
from cleartrace.episodes.identity import TaskKey
from cleartrace.episodes.importers.common import Source
from cleartrace.episodes.importers.formats import Report, import_into
from cleartrace.episodes.names import Format
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Episode, RunKind, StepKind, Task
from cleartrace.learn.clear.collect import ELSEWHERE
from cleartrace.learn.clear.project import Collected, Project, ProjectError, settle, write_records


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
