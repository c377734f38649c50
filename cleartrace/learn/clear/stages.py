"""What the commands of `cleartrace clear` do once their options are read: run a stage, show what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from cleartrace.agents.runner import Progress
from cleartrace.agents.workplace import AgentConfig
from cleartrace.learn.clear.adopt import Adoption, adopt
from cleartrace.learn.clear.collect import CollectPlan, TaskRuns, collect, outcomes
from cleartrace.learn.clear.exporting import ExportPlan, export
from cleartrace.learn.clear.funnel import Funnel
from cleartrace.learn.clear.project import Project
from cleartrace.learn.clear.reflect import reflect
from cleartrace.learn.clear.reflect_settings import ReflectSettings
from cleartrace.learn.clear.splitting import count_groups, make_split, read_sides
from cleartrace.llm.protocol import BudgetExhausted

MOST_TASKS = 40
"""Lines of the table of tasks."""


async def run_collect(config: AgentConfig, plan: CollectPlan, folder: Path) -> None:
    """Raises what `collect` raises; what is there by then is shown."""
    project = Project(folder)
    with project.locked(), _bar("runs") as (begin, tell):
        try:
            await collect(config, plan, project, begin, tell)
        except BudgetExhausted:
            _say(outcome_table(outcomes(project)))
            raise
    _say(outcome_table(outcomes(project)))
    _say(f"next: cleartrace clear reflect {folder} --model SPEC")


def run_import(adoption: Adoption, folder: Path) -> None:
    """Raises what `adopt` raises."""
    project = Project(folder)
    with project.locked():
        report = adopt(adoption, project)
    _say(f"{report.added} runs added, {report.known} known before, {len(report.refused)} refused")
    for refused in report.refused[:10]:
        _say(f"refused: {refused.where}: {refused.reason}")
    _say(outcome_table(outcomes(project)))
    _say(f"next: cleartrace clear reflect {folder} --model SPEC")


async def run_reflect(settings: ReflectSettings, folder: Path, name: str) -> str:
    """Why it stopped early, or "". Raises what `reflect` raises."""
    project = Project(folder, name)
    project.collected()
    with project.locked(), _bar("reflections") as (begin, tell):
        result = await reflect(settings, project, begin, tell)
    _say(funnel_table(result.funnel))
    if result.funnel.rows and not result.stopped:
        _say(f"next: {project.command('split').strip('`')}")
    return result.stopped


def run_split(folder: Path, name: str, share: float, seed: int, near: float) -> None:
    """Raises `ProjectError`."""
    project = Project(folder, name)
    project.collected()
    with project.locked():
        made = make_split(project, share, seed, near)
        sides = read_sides(project)
    _say(
        f"train: {made.train} rows of {count_groups(sides.train)} scenarios; held out: {made.held_out} rows of "
        f"{len(made.groups)}; left out as near repeats: {len(made.moved)}"
    )
    _say(f"next: {project.command('export', '--to chat|verl|llamafactory|prompts').strip('`')}")


def run_export(plan: ExportPlan, folder: Path, name: str, out: Path | None) -> None:
    """Raises `ProjectError`."""
    project = Project(folder, name)
    project.collected()
    with project.locked():
        done = export(plan, project, out)
    for file, rows in done.files.items():
        _say(f"{done.folder / file}: {rows} rows" if file.endswith(("jsonl", "parquet")) else f"{done.folder / file}")
    _say(f"{done.folder / 'README.md'}: what is in it")


def outcome_table(found: Sequence[TaskRuns]) -> Table:
    """A line for each task, the contrastive ones first, and all together below."""
    kinds = Counter(one.kind for one in found)
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    table = Table("task", title=f"{len(found)} tasks: {said}", title_justify="left", show_footer=True)
    runs, passed = sum(len(one.scores) for one in found), sum(one.passed for one in found)
    short, lost = sum(max(0, one.wanted - len(one.scores)) for one in found), sum(one.lost for one in found)
    for name, footer in (("runs", runs), ("passed", passed), ("mean score", ""), ("missing", short), ("lost", lost)):
        table.add_column(name, justify="right", footer=str(footer))
    table.add_column("kind")
    table.columns[0].footer = "all"
    ordered = sorted(found, key=lambda one: one.kind != "contrastive")
    for one in ordered[:MOST_TASKS]:
        mean = f"{sum(one.scores) / len(one.scores):.3f}" if one.scores else "-"
        numbers = (len(one.scores), one.passed, mean, max(0, one.wanted - len(one.scores)), one.lost)
        table.add_row(one.task.id, *map(str, numbers), one.kind)
    if len(ordered) > MOST_TASKS:
        table.add_row(f"and {len(ordered) - MOST_TASKS} more", *[""] * 6)
    return table


def funnel_table(funnel: Funnel) -> Table:
    """Counts from tasks down to rows."""
    table = Table("", title="From runs to rows", title_justify="left")
    table.add_column("count", justify="right")
    table.add_column("")
    for name, count, note in funnel.lines():
        table.add_row(name, f"{count:,}", note if count or not name.startswith("-") else "")
    return table


def _say(what: Table | str) -> None:
    Console(soft_wrap=isinstance(what, str), highlight=False).print(what, markup=False)


@contextmanager
def _bar(name: str) -> Iterator[tuple[Callable[[int], None], Callable[[Progress], None]]]:
    """(begin with a total, tell): a bar on standard error."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Bars(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(name, total=None, note="")

        def tell(progress: Progress) -> None:
            lost = f", {progress.lost} lost" if progress.lost else ""
            bars.update(task, completed=progress.done, note=f"{progress.reused} kept{lost}")

        yield (lambda total: bars.update(task, total=total)), tell
