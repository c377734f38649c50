"""What the data commands print."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

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
