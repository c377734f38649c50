"""The short table a run ends with; the report has the rest."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from cleartrace.report.load import load_run
from cleartrace.report.summary import Rate, format_seconds, summarise


def closing_table(run_dir: Path, seconds: float) -> Table:
    """Held-out rates before and after with their n and 95 % interval, then the run's totals."""
    summary = summarise(load_run(run_dir))
    table = Table(title=f"{run_dir.name}: {format_seconds(seconds)}")
    for name in ("", "before", "after"):
        table.add_column(name)
    for change in summary.changes:
        table.add_row(change.label, _text(change.before), _text(change.after) if change.after else "")
    for label, (value, detail) in summary.totals.items():
        table.add_row(label, "", f"{value} ({detail})")
    for note in summary.notes:
        table.add_row("Note", "", note)
    return table


def _text(rate: Rate) -> str:
    interval = rate.interval
    if interval is None:
        return f"{rate.value:.1%} (step {rate.step})"
    return f"{rate.value:.1%} [{interval[0]:.1%}, {interval[1]:.1%}] n={rate.n} (step {rate.step})"
