"""`cleartrace clear show`: what every stage of a project has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from cleartrace.episodes.index import Row
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Usage
from cleartrace.learn.clear.collect import outcomes
from cleartrace.learn.clear.funnel import Funnel
from cleartrace.learn.clear.project import Project, ProjectError, read_records
from cleartrace.learn.clear.rows import GuidanceRow
from cleartrace.learn.clear.splitting import count_groups, read_sides
from cleartrace.learn.clear.stages import funnel_table, outcome_table


def show_project(folder: Path, name: str = "") -> None:
    """Raises `ProjectError` where there is no project."""
    project, console = Project(folder, name), Console(highlight=False)
    project.collected()
    table = Table("stage", "what is there", title=str(project.stage), title_justify="left")
    for stage, say in _STAGES.items():
        try:
            table.add_row(stage, escape(say(project)))
        except ProjectError as error:
            table.add_row(stage, escape(f"nothing yet: {error}"))
    console.print(table)
    console.print(outcome_table(outcomes(project)))
    if project.funnel_file.is_file():
        console.print(funnel_table(Funnel.model_validate_json(project.funnel_file.read_text(encoding="utf-8"))))
    if (row := _example(project)) is not None:
        console.print(_panel(row))


def _collect(project: Project) -> str:
    made, found = project.collected(), outcomes(project)
    store = EpisodeStore(project.episodes)
    rows = [row for one in found for row in store.find(environment=one.task.environment, task=one.task.id)]
    agent = made.agent_settings.get("model") or made.agent
    return (
        f"{sum(len(one.scores) for one in found)} runs on {len(found)} tasks of {made.environment} "
        f"({made.split or 'imported'}) by {agent}, context {made.context}; {_took(store, rows)}"
    )


def _reflect(project: Project) -> str:
    made = project.reflected()
    store = EpisodeStore(project.reflections)
    rows = store.find(agent=made.writer)
    by = made.settings.get("model", made.writer)
    return f"{len(rows)} reflections by {by}, k = {made.k} of n = {made.n}, {made.keep}; {_took(store, rows)}"


def _took(store: EpisodeStore, rows: list[Row]) -> str:
    used = sum((store.get(row.id).trajectory.usage for row in rows), Usage())
    cost = "" if used.cost is None else f", ${used.cost:.2f}"
    return f"{used.calls:,} model calls, {used.input_tokens + used.output_tokens:,} tokens{cost}"


def _split(project: Project) -> str:
    sides = read_sides(project)
    return (
        f"train {len(sides.train)} rows of {count_groups(sides.train)} scenarios, "
        f"held out {len(sides.held_out)} of {count_groups(sides.held_out)}"
    )


def _export(project: Project) -> str:
    there = sorted(path.parent.name for path in project.export.glob("*/card.json"))
    if not there:
        raise ProjectError(f"run {project.command('export', '--to FORMAT')} with chat, verl, llamafactory or prompts")
    old = [name for name in there if (project.export / name / "card.json").stat().st_mtime < _changed(project)]
    return ", ".join(f"{name} (older than the split)" if name in old else name for name in there)


def _changed(project: Project) -> float:
    return project.split_file.stat().st_mtime if project.split_file.is_file() else 0.0


_STAGES: dict[str, Callable[[Project], str]] = {
    "collect": _collect, "reflect": _reflect, "split": _split, "export": _export,
}  # fmt: skip


def _example(project: Project) -> GuidanceRow | None:
    """The first row that says something, or the first."""
    if not project.rows_file.is_file():
        return None
    first = None
    for row in read_records(project.rows_file, GuidanceRow):
        if row.guidance:
            return row
        first = first or row
    return first


def _panel(row: GuidanceRow) -> Panel:
    scores = ", ".join(f"{score:g}" for score in row.scores)
    task = row.task if len(row.task) <= 800 else f"{row.task[:800]} [...]"
    text = f"{task}\n\n[bold]Guidance[/bold]: {escape(row.guidance) or '(none: the model should abstain)'}"
    return Panel(
        f"{escape(task)}{text[len(task):]}", title="an example row", title_align="left",
        subtitle=escape(f"{row.subset}, scores {scores}"), subtitle_align="left",
    )  # fmt: skip
