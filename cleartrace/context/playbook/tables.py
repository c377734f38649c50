"""What the playbook commands print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cleartrace.context.playbook.diff import Diff, EntryChange, Kind
from cleartrace.context.playbook.lint import Finding
from cleartrace.context.playbook.merge import Merged
from cleartrace.context.playbook.types import Entry, Playbook, Source

_STYLES = {Kind.ADDED: "green", Kind.REMOVED: "red", Kind.REWRITTEN: "yellow", Kind.MOVED: "cyan"}


def print_entries(playbook: Playbook, console: Console | None = None) -> None:
    """One row an entry, by section."""
    table = Table("id", "section", "helpful", "harmful", "revision", "from", "text")
    for _, entries in playbook.by_section():
        for entry in entries:
            counts = (str(entry.helpful), str(entry.harmful), str(entry.revision))
            table.add_row(Text(entry.id), Text(entry.section), *counts, _origin(entry.source), Text(entry.text))
    console = console or Console()
    console.print(table)
    console.print(f"{len(playbook):,} entries in {len(list(playbook.by_section())):,} sections")


def print_history(entries: Sequence[Entry], console: Console | None = None) -> None:
    """Every text that the entries had, oldest first."""
    table = Table("id", "revision", "helpful", "harmful", "from", "reason", "text")
    for entry in entries:
        for former in entry.history:
            of = f"{former.entry_id} → {entry.id}" if former.entry_id else entry.id
            counts = (str(former.revision), str(former.helpful), str(former.harmful))
            table.add_row(Text(of), *counts, _origin(former.source), _reason(former.source), Text(former.text))
        counts = (str(entry.revision), str(entry.helpful), str(entry.harmful))
        table.add_row(Text(entry.id), *counts, _origin(entry.source), _reason(entry.source), Text(entry.text))
        table.add_section()
    (console or Console()).print(table)


def print_diff(change: Diff, console: Console | None = None) -> None:
    """Old lines behind -, new ones behind +."""
    console = console or Console()
    for one in change.changes:
        entry = one.after or one.before
        console.print(Text(f"{one.kind.value} {one.id} [{entry.section if entry else ''}]", _STYLES.get(one.kind, "")))
        for mark, text, style in _lines(one):
            console.print(Text(f"  {mark} {text}", style), soft_wrap=True)
    for name, values in change.fields.items():
        console.print(Text(f"{name}: {values.get('before')} → {values.get('after')}"), soft_wrap=True)
    if change.order is not None:
        console.print("other order of entries")
    if not change:
        console.print("no difference")


def _lines(change: EntryChange) -> Iterable[tuple[str, str, str]]:
    before, after = change.before, change.after
    for mark, entry, style in (("-", before, "red"), ("+", after, "green")):
        if entry is None:
            continue
        facts = f"({entry.section}, revision {entry.revision}, +{entry.helpful} -{entry.harmful}) "
        for n, line in enumerate(entry.text.split("\n")):
            yield mark, (facts if n == 0 else "") + line, style


def print_removed(rows: Iterable[tuple[Entry, str]], left: int, console: Console | None = None) -> None:
    """Entries that went and why, and how many are left."""
    console = console or Console()
    table = Table("id", "section", "helpful", "harmful", "why", "text", title="removed")
    for entry, why in rows:
        counts = (str(entry.helpful), str(entry.harmful))
        table.add_row(Text(entry.id), Text(entry.section), *counts, Text(why), Text(entry.text))
    if table.row_count:
        console.print(table)
    console.print(f"{table.row_count:,} entries removed, {left:,} left")


def print_findings(findings: Sequence[Finding], console: Console | None = None) -> None:
    """One line each."""
    console = console or Console()
    for finding in findings:
        where = ", ".join(finding.entry_ids) or "playbook"
        console.print(Text(f"{where}: {finding.problem.value}: {finding.message}"), soft_wrap=True)
    console.print(f"{len(findings):,} findings")


def print_merged(merged: Merged, console: Console | None = None) -> None:
    """Conflicts with both versions, then what was renamed."""
    console = console or Console()
    for conflict in merged.conflicts:
        console.print(Text(f"conflict in {conflict.where}: {conflict.what}", "red"))
        for side, value in (("ours", conflict.ours), ("theirs", conflict.theirs)):
            console.print(Text(f"  {side}: {value.text if isinstance(value, Entry) else value}"), soft_wrap=True)
    for side, names in merged.renamed.items():
        for old, new in names.items():
            console.print(Text(f"{old} of {side.value} is {new} now"))
    console.print(f"{len(merged.playbook):,} entries, {len(merged.conflicts):,} conflicts")


def _origin(source: Source | None) -> Text:
    if source is None:
        return Text("")
    tasks = ", ".join(source.tasks[:3]) + (" …" if len(source.tasks) > 3 else "")
    return Text(f"iteration {source.iteration}" + (f": {tasks}" if tasks else ""))


def _reason(source: Source | None) -> Text:
    return Text(source.reason if source else "")
