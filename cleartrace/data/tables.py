"""What the data commands print."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from cleartrace.data.findings import FileReport, Kind, Severity
from cleartrace.data.selection import Selection


def print_selection(selection: Selection, console: Console | None = None) -> None:
    """Rows kept of all, by success rate, programs apart from the rest."""
    table = Table("success rate", *("code, of", "other, of"), title="rows kept")
    for column in table.columns[1:]:
        column.justify = "right"
    for rate in sorted({group.rate for group in selection.groups}):
        mine = {group.code: f"{len(group.kept):,} / {len(group.members):,}" for group in selection.groups_at(rate)}
        table.add_row(f"{rate:g}", mine.get(True, ""), mine.get(False, ""))
    table.add_section()
    table.add_row("all", f"{selection.count(code=True):,}", f"{selection.count(code=False):,}")
    console = console or Console()
    console.print(table)
    console.print(f"{len(selection.kept):,} rows kept; {selection.unmatched:,} without statistics dropped")


SHOWN = 10
"""So many findings of a kind are printed for each file."""


def print_reports(
    reports: Sequence[FileReport], *, graded: bool, counted: bool, console: Console | None = None
) -> None:
    """Findings, then one line per file, then what was not checked."""
    console = console or Console()
    for report in reports:
        for kind, count in sorted(report.counts().items(), key=lambda item: list(Kind).index(item[0])):
            for finding in [finding for finding in report.findings if finding.kind is kind][:SHOWN]:
                console.print(str(finding), soft_wrap=True, markup=False, highlight=False)
            if count > SHOWN:
                console.print(f"{kind.severity.value}: {report.file}: {kind.value}: {count - SHOWN:,} more rows")
    table = Table("file", "rows", "gold right", "errors", "warnings")
    for column in table.columns[1:]:
        column.justify = "right"
    for report in reports:
        numbers = (report.rows, report.graded, report.number(Severity.ERROR), report.number(Severity.WARNING))
        table.add_row(report.file, *(f"{number:,}" for number in numbers))
    console.print(table)
    for note in _not_checked(reports, graded=graded, counted=counted):
        console.print(f"not checked: {note}", soft_wrap=True, highlight=False)


def _not_checked(reports: Sequence[FileReport], *, graded: bool, counted: bool) -> list[str]:
    notes = []
    if not graded:
        notes.append("no answer was graded (--no-grade)")
    elif untried := sum(report.untried for report in reports):
        notes.append(f"{untried:,} programs without a reference solution: their tests may be wrong")
    if not counted:
        notes.append("the length of prompts (--tokenizer)")
    return notes
