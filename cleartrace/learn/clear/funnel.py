"""What became of every set of runs on its way to a row."""

from __future__ import annotations

from collections import Counter

from cleartrace.episodes.types import Record
from cleartrace.learn.clear.rows import Reason, Rows


class Funnel(Record):
    """Counts. `subsets` = `open` + `reflections`; `reflections` = `rows` and all that were dropped.

    Args:
        short: tasks with fewer runs than asked for.
        possible: sets that there are; `subsets`: those that were chosen among them.
        open: without a reflection as yet.
        abstentions: rows whose guidance is empty.
    """

    schema_version: int = 1
    tasks: int
    short: int
    possible: int
    subsets: int
    open: int
    reflections: int
    no_guidance: int
    failed: int
    leaked: int
    duplicate: int
    rows: int
    abstentions: int

    @classmethod
    def of(cls, *, tasks: int, short: int, possible: int, subsets: int, rows: Rows) -> Funnel:
        dropped = Counter(one.reason for one in rows.dropped)
        reflections = len(rows.rows) + len(rows.dropped)
        return cls(
            tasks=tasks, short=short, possible=possible, subsets=subsets, open=subsets - reflections,
            reflections=reflections, no_guidance=dropped[Reason.NO_GUIDANCE], failed=dropped[Reason.FAILED],
            leaked=dropped[Reason.LEAK], duplicate=dropped[Reason.DUPLICATE], rows=len(rows.rows),
            abstentions=sum(not row.guidance for row in rows.rows),
        )  # fmt: skip

    def lines(self) -> list[tuple[str, int, str]]:
        """(name, count, what it means), in the order in which things are lost."""
        return [
            ("tasks", self.tasks, f"{self.short} with fewer runs than asked for" if self.short else ""),
            ("sets possible", self.possible, ""),
            ("sets chosen", self.subsets, "by --keep and --limit"),
            ("not reflected on yet", self.open, "the same command goes on" if self.open else ""),
            ("reflections", self.reflections, ""),
            ("- no guidance", self.no_guidance, "nothing was submitted"),
            ("- failed", self.failed, "the endpoint's or the machine's fault; the same command tries again"),
            ("- leaked", self.leaked, "dropped.jsonl says what"),
            ("- duplicate", self.duplicate, "the task has this guidance already"),
            ("rows", self.rows, f"{self.abstentions} of them abstain"),
        ]
