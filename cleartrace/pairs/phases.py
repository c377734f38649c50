"""Progress of work in phases, on the error stream, so that what is printed can be piped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


@contextmanager
def phase_bars() -> Iterator[Callable[[str, int, int], None]]:
    """A function (phase, done, of how many) that shows one bar per phase; 0 is for an end that is not known."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"), TimeElapsedColumn())
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def show(phase: str, done: int, total: int) -> None:
            if phase not in bars:
                for earlier in bars.values():
                    progress.stop_task(earlier)
                bars[phase] = progress.add_task(phase, total=None, count="")
            count = f"{done:,} of {total:,}" if total else f"{done:,}" if done else ""
            progress.update(bars[phase], completed=done, total=total or None, count=count)

        yield show
