"""The growing findings of a validation: one row each, appended at once, so that a long one goes on where it stopped."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cleartrace.environments.validate import Finding, Verdict
from cleartrace.episodes.types import Task
from cleartrace.evaluate.store import StoreError, append_line, cut_torn_line, lock_folder, settle_identity

FINDINGS = "findings.csv"
IDENTITY = "validation.json"
COLUMNS = ("task", "verdict", "gold_calls", "refused", "note")


class FindingsStore:
    """Findings in `findings.csv` by their task, and the environment that they are about.

        with FindingsStore(folder, identity) as store:
            known = store.known(tasks)
            store.append(finding)

    One process at a time may write to a folder.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self._identity = identity
        self._lock = self._file = -1

    def __enter__(self) -> FindingsStore:
        """Raises `StoreError`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(self.folder)
        try:
            settle_identity(self.folder, IDENTITY, FINDINGS, self._identity)
            path = self.folder / FINDINGS
            cut_torn_line(path)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            if not path.stat().st_size:
                append_line(self._file, ",".join(COLUMNS))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self._file = -1

    def known(self, tasks: Sequence[Task]) -> dict[str, Finding]:
        """Findings by task id, without faults: those may have been the machine's, and are looked for again.

        Raises:
            StoreError: a row is no finding.
        """
        by_id = {task.id: task for task in tasks}
        found: dict[str, Finding] = {}
        with (self.folder / FINDINGS).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
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
        append_line(self._file, line.getvalue())
