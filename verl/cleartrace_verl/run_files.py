"""The folder of a run and its growing files: `metrics.jsonl`, `trajectories.jsonl`, `events.jsonl`. Resumable."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cleartrace.data.files import whole_file
from cleartrace.data.growing import lock_folder


@contextmanager
def held(run_dir: Path) -> Iterator[int]:
    """The folder for one run alone, and the descriptor that holds it, for processes that must hold it too.

    Raises `StoreError` when another run is at work in it.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(run_dir)
    try:
        yield lock
    finally:
        os.close(lock)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a metric value")


class JsonLines:
    """Append JSON objects to `path`, each flushed to the file at once."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, rows: Iterable[dict[str, Any] | str]) -> None:
        lines = [row if isinstance(row, str) else json.dumps(row, default=_plain) for row in rows]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def drop_after(self, step: int) -> None:
        """Keep the rows up to `step`: what a resumed run will do again must not stand twice.

        A last line that a killed run left unfinished is dropped too.
        """
        self.drop(lambda row: row["step"] > step)

    def drop(self, unwanted: Callable[[dict[str, Any]], bool]) -> None:
        """Keep the other rows, and no unfinished last line."""
        if not self.path.exists():
            return
        with (
            whole_file(self.path) as kept,
            self.path.open(encoding="utf-8") as old,
            kept.open("w", encoding="utf-8") as new,
        ):
            for line in old:
                if line.endswith("\n") and not unwanted(json.loads(line)):
                    new.write(line)

    def rows(self) -> Iterator[dict[str, Any]]:
        """All of them; none where there is no file."""
        if self.path.exists():
            with self.path.open(encoding="utf-8") as file:
                yield from map(json.loads, file)


class MetricsLogger:
    """A veRL tracking backend that appends to `metrics.jsonl` (veRL's own file logger empties it on resume)."""

    def __init__(self, path: Path):
        self._file = JsonLines(path)

    def log(self, data: dict[str, Any], step: int) -> None:
        self._file.append([{"step": step, "time": round(time.time(), 3), "data": data}])
