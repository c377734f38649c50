"""The growing findings of a validation: one row each, appended at once, so that a long one goes on where it stopped."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from cleartrace.data.growing import GrowingFolder, StoreError
from cleartrace.environments.validate import Finding, Verdict
from cleartrace.episodes.types import Task

FINDINGS = "findings.csv"
COLUMNS = ("task", "verdict", "gold_calls", "refused", "note")


class FindingsStore(GrowingFolder):
    """Findings in `findings.csv` by their task, and the environment that they are about.

    with FindingsStore(folder, identity) as store:
        known = store.known(tasks)
        store.append(finding)
    """

    MANIFEST = "validation.json"
    FILES = (FINDINGS,)

    def load(self) -> None:
        path = self.folder / FINDINGS
        if not path.stat().st_size:
            self.lines[FINDINGS].add(",".join(COLUMNS))
        with path.open(newline="", encoding="utf-8") as file:
            self._rows = list(csv.DictReader(file))

    def known(self, tasks: Sequence[Task]) -> dict[str, Finding]:
        """Findings by task id as the folder was opened, without faults: those may have been the machine's.

        Raises:
            StoreError: a row is no finding.
        """
        by_id = {task.id: task for task in tasks}
        found: dict[str, Finding] = {}
        for row in self._rows:
            try:
                verdict, calls, refused = Verdict(row["verdict"]), int(row["gold_calls"]), int(row["refused"])
            except (KeyError, TypeError, ValueError) as error:
                raise StoreError(f"{self.folder / FINDINGS}: {dict(row)} is not a finding ({error})") from None
            if verdict is not Verdict.FAULT and row["task"] in by_id:
                found[row["task"]] = Finding(by_id[row["task"]], verdict, row["note"], calls, refused)
        return found

    def append(self, finding: Finding) -> None:
        line = io.StringIO()
        note = " ".join(finding.note.split())[:300]
        csv.writer(line, lineterminator="").writerow(
            (finding.task.id, finding.verdict.value, finding.gold_calls, finding.refused, note)
        )
        self.lines[FINDINGS].add(line.getvalue())
