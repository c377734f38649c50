"""Draw tasks: a deterministic pool without duplicates, or an endless stream for pre-training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from cleartrace.data.tasks.families import FAMILIES
from cleartrace.data.tasks.task import Split, Task

ATTEMPTS = 400


def draw_task(rng: Random, split: Split, level: int = 2, families: Sequence[str] = ()) -> Task:
    """One task of `split` from a random family; the same question may come again later."""
    names = tuple(families) or tuple(FAMILIES)
    _check_names(names)
    while True:
        task = FAMILIES[rng.choice(names)](rng, level)
        if task.split is split:
            return task


def task_stream(seed: int, split: Split, level: int = 2, families: Sequence[str] = ()) -> Iterator[Task]:
    """Endless tasks of `split`."""
    rng = Random(f"stream/{seed}/{split.value}")
    while True:
        yield draw_task(rng, split, level, families)


def generate_tasks(n: int, seed: int, split: Split, level: int = 2, families: Sequence[str] = ()) -> list[Task]:
    """`n` tasks with distinct questions, the families in equal shares as far as they have distinct questions.

    Raises:
        ValueError: unknown family, or the families do not hold `n` distinct questions of this split.
    """
    names = list(families or FAMILIES)
    _check_names(names)
    rng = Random(f"pool/{seed}/{split.value}/{level}")
    seen: set[str] = set()
    tasks: list[Task] = []
    while len(tasks) < n:
        if not names:
            raise ValueError(f"only {len(tasks)} distinct {split.value} questions found, {n} wanted: add families")
        name = names[len(tasks) % len(names)]
        task = _fresh(rng, name, split, level, seen)
        if task is None:
            names.remove(name)
            continue
        seen.add(task.question)
        tasks.append(task)
    return tasks


def _fresh(rng: Random, name: str, split: Split, level: int, seen: set[str]) -> Task | None:
    """A task whose question is new, or None when the family seems used up."""
    for _ in range(ATTEMPTS):
        task = FAMILIES[name](rng, level)
        if task.split is split and task.question not in seen:
            return task
    return None


def _check_names(names: Sequence[str]) -> None:
    unknown = sorted(set(names) - set(FAMILIES))
    if unknown:
        raise ValueError(f"unknown task family {unknown}; known: {', '.join(FAMILIES)}")
