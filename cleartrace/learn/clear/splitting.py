"""Rows and tasks on two sides, by scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.episodes.types import Record, Task
from cleartrace.learn.clear.project import (
    Project,
    ProjectError,
    file_digest,
    read_records,
    write_record,
    write_records,
)
from cleartrace.learn.clear.rows import GuidanceRow, split, twins_of


class SplitMade(Record):
    """How a split was made.

    Args:
        rows: digest of the file of rows that was split.
        groups: scenarios held out; those of `train` are all others that have rows.
        moved: sets whose rows are on neither side, as their task nearly repeats a held-out one.
    """

    schema_version: int = 1
    rows: str
    share: float
    seed: int
    near: float
    groups: tuple[str, ...]
    train: int
    held_out: int
    moved: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sides:
    """Rows, and the tasks of the same scenarios, those without rows among them."""

    train: tuple[GuidanceRow, ...]
    held_out: tuple[GuidanceRow, ...]
    train_tasks: tuple[Task, ...]
    held_out_tasks: tuple[Task, ...]


def read_rows(project: Project) -> list[GuidanceRow]:
    """Raises `ProjectError` before `reflect`, and where it gave no row."""
    project.reflected()
    rows = list(read_records(project.rows_file, GuidanceRow)) if project.rows_file.is_file() else []
    if not rows:
        raise ProjectError(f"{project.rows_file} holds no row; {project.command('show')} says where they were lost")
    return rows


def make_split(project: Project, share: float, seed: int, near: float) -> SplitMade:
    """Write both sides. Raises `ProjectError`."""
    rows = read_rows(project)
    try:
        sides = split(rows, share, seed, near)
    except ValueError as error:
        raise ProjectError(f"{error}: collect tasks of more scenarios, or take another --share or --near") from None
    made = SplitMade(
        rows=file_digest(project.rows_file), share=share, seed=seed, near=near,
        groups=tuple(sorted({row.group for row in sides.held_out})), train=len(sides.train),
        held_out=len(sides.held_out), moved=tuple(row.subset for row in sides.moved),
    )  # fmt: skip
    project.split_file.unlink(missing_ok=True)  # Before the sides change: a kill leaves no split that does not fit.
    write_records(project.train_file, sides.train)
    write_records(project.held_out_file, sides.held_out)
    write_record(project.split_file, made)
    return made


def read_split(project: Project) -> SplitMade:
    """Raises `ProjectError` before `split`, and when the rows are others since."""
    rows = read_rows(project)
    if not project.split_file.is_file():
        raise ProjectError(f"the {len(rows)} rows are not split yet: run {project.command('split')} first")
    made = SplitMade.model_validate_json(project.split_file.read_text(encoding="utf-8"))
    if made.rows != file_digest(project.rows_file):
        raise ProjectError(f"{project.rows_file} has changed since it was split: run {project.command('split')} again")
    return made


def read_sides(project: Project) -> Sides:
    """Raises `ProjectError` as `read_split`."""
    made = read_split(project)
    held = set(made.groups)
    tasks = project.tasks()
    apart = [task for task in tasks if _group(task) in held]
    rest = [task for task in tasks if _group(task) not in held]
    twins = twins_of((task.input for task in rest), (task.input for task in apart), made.near)
    return Sides(
        tuple(read_records(project.train_file, GuidanceRow)),
        tuple(read_records(project.held_out_file, GuidanceRow)),
        tuple(task for task in rest if task.input not in twins),
        tuple(apart),
    )


def shared(sides: Sides) -> set[str]:
    """Scenarios and tasks on both sides: none, or the split is broken (A23)."""
    found: list[set[str]] = []
    for rows, tasks in ((sides.train, sides.train_tasks), (sides.held_out, sides.held_out_tasks)):
        found.append({f"scenario {row.group}" for row in rows} | {f"scenario {_group(task)}" for task in tasks})
    return found[0] & found[1]


def _group(task: Task) -> str:
    return task.group or task.id


def count_groups(rows: Sequence[GuidanceRow]) -> int:
    """Scenarios among rows."""
    return len({row.group for row in rows})
