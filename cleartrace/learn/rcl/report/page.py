"""The page itself: one self-contained file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from cleartrace.learn.rcl.report.load import HISTORY, PLAYBOOK, LearnedRun, load_run
from cleartrace.learn.rcl.report.story import stories
from cleartrace.learn.rcl.state import Row
from cleartrace.report.build import write_whole
from cleartrace.report.chart import Chart, Series
from cleartrace.report.html import render_page, view_chart


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run of `cleartrace optimize`."""
    return (folder / HISTORY).is_file() and (folder / PLAYBOOK).is_file()


def build_page(folder: Path) -> Path:
    """Write `<folder>/report.html` and return its path. Raises `DataError`."""
    run = load_run(folder)
    page = render_page(
        "playbook.html.j2",
        styles=("style.css", "chart.css"),
        scripts=("text.js", "chart.js"),
        run=run,
        stories=stories(run.playbook, run.logs, run.reflected, run.credits),
        charts=[view_chart(chart) for chart in charts(run)],
    )
    return write_whole(folder / "report.html", page)


def charts(run: LearnedRun) -> list[Chart]:
    """Scores, size of the playbook, edits; each only where the run has the figures."""
    scores = _series(run.rows, {
        "train, mean score": lambda row: row.train_pass, "train, passed": lambda row: row.train_tgc,
        "validation, mean score": lambda row: row.val_pass, "validation, passed": lambda row: row.val_tgc,
    })  # fmt: skip
    sizes = _series(run.rows, {"entries": lambda row: row.playbook_size})
    tokens = _series(run.rows, {"tokens": lambda row: row.playbook_tokens})
    edits = _series(run.rows, {
        "proposed": lambda row: row.proposed, "kept": lambda row: row.kept,
        "refused or rejected": lambda row: row.refused + row.rejected, "pruned": lambda row: row.pruned,
    })  # fmt: skip
    all = [
        Chart("Scores", "iteration", "score", scores, percent=True), Chart("Entries", "iteration", "entries", sizes),
        Chart("Size of the playbook", "iteration", "tokens", tokens), Chart("Edits", "iteration", "edits", edits),
    ]  # fmt: skip
    return [chart for chart in all if chart.series]


def _series(rows: Sequence[Row], lines: dict[str, Callable[[Row], float | None]]) -> tuple[Series, ...]:
    found = []
    for label, value in lines.items():
        points = [(float(row.iteration), float(y)) for row in rows if (y := value(row)) is not None]
        if points:
            x, y = zip(*points, strict=True)
            found.append(Series(label, x, y))
    return tuple(found)
