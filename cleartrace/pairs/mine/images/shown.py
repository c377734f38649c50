"""What a person sees while pictures are mined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal. The function takes how many are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def show_funnel(out: Path, funnel: Mapping[str, int]) -> None:
    """Counts, one a line, and where the pairs are."""
    width = max(map(len, funnel))
    for stage, count in funnel.items():
        typer.echo(f"{stage:<{width}}  {count}")
    typer.echo(f"pairs: {out}")
