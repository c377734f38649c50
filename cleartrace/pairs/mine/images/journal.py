"""One JSON line for each decision that is made: a killed run goes on where it stopped."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from cleartrace.data.errors import DataError
from cleartrace.data.files import read_json_lines
from cleartrace.data.growing import LineFile


class Journal:
    """Decisions by key, in the order they were made. Safe to use from several threads.

    Args:
        path: of the file; a last line that a killed run left unfinished is cut off.
        settings: what decisions depend on.

    Errors: `DataError` when the file belongs to a run with other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._settings = json.dumps(settings, sort_keys=True)
        self._file = LineFile(path)
        try:
            self._read(path)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self.rows

    def add(self, key: str, row: dict[str, Any]) -> None:
        """Keep a decision. It is in the file when this returns."""
        with self._lock:
            self.rows[key] = row
            self._write({"key": key, **row})

    def _read(self, path: Path) -> None:
        rows = [row for _, row in read_json_lines(path)]
        if not rows:
            self._write({"settings": self._settings})
        elif rows[0].get("settings") != self._settings:
            raise DataError(
                path, "it belongs to a run with other settings or inputs; delete it or choose another output"
            )
        for row in rows[1:]:
            self.rows[row.pop("key")] = row

    def _write(self, row: dict[str, Any]) -> None:
        self._file.add(json.dumps(row, ensure_ascii=False))
