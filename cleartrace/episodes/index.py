"""What a store finds runs by: one line of `index.jsonl` for each, made again from the files when it does not fit."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cleartrace.data.files import whole_file
from cleartrace.episodes.identity import RunKey, TaskKey, run_key
from cleartrace.episodes.types import PASS, Episode, RunKind

INDEX_FILE = "index.jsonl"
LOCK_FILE = ".lock"


class Row(NamedTuple):
    """One run in the index. `score` is None for a run that does not count, and `failure` then says why.

    Args:
        provider: hash of the context's provider.
        context: `identity.context_hash`.
        kind: `clean` or `probe`.
        failure: value of a `FailureKind`, or "".
    """

    id: str
    environment: str
    task: str
    agent: str
    provider: str
    context: str
    seed: int
    kind: str
    score: float | None
    failure: str
    stop: str

    @property
    def key(self) -> RunKey:
        return RunKey(self.environment, self.task, self.agent, self.context, self.seed)

    @property
    def task_key(self) -> TaskKey:
        return TaskKey(self.environment, self.task)

    @property
    def passed(self) -> bool:
        return self.score is not None and self.score >= PASS

    @property
    def clean(self) -> bool:
        return self.kind == RunKind.CLEAN.value


def row_of(id: str, episode: Episode) -> Row:
    """The index's line for an episode that is stored under `id`."""
    trajectory, outcome = episode.trajectory, episode.outcome
    key = run_key(trajectory)
    return Row(
        id=id,
        environment=key.environment,
        task=key.task,
        agent=key.agent,
        provider=trajectory.context.provider_hash,
        context=key.context,
        seed=key.seed,
        kind=trajectory.kind.value,
        score=outcome.score,
        failure=outcome.failure.kind.value if outcome.failure else "",
        stop=trajectory.stop.value,
    )


class IndexFile:
    """`index.jsonl` of one store. Several processes may append at once; each reads what the others wrote.

    Nothing is lost with this file: it holds only what the folders of the runs hold.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / INDEX_FILE
        self._lock_path = folder / LOCK_FILE
        self._inode, self._read = -1, 0
        self.damaged = False
        """A line was no row: the file should be written again."""

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held for a moment by one writer among processes; the kernel frees it when its process dies."""
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def append(self, rows: Iterable[Row]) -> None:
        """Under the lock. A torn line of a killed writer is ended first, so that it spoils no other."""
        data = "".join(_line(row) for row in rows).encode("utf-8", "surrogatepass")
        with self._path.open("ab+") as file:
            if file.tell() and not self._ends_well(file.fileno(), file.tell()):
                data = b"\n" + data
            file.write(data)

    def write(self, rows: Iterable[Row]) -> None:
        """Under the lock: the whole file anew."""
        with whole_file(self._path) as draft, draft.open("wb") as file:
            file.writelines(_line(row).encode("utf-8", "surrogatepass") for row in rows)

    def news(self) -> tuple[bool, list[Row]]:
        """Rows that were appended since the last call. True with all rows when the file is another one than before."""
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            anew, self._inode, self._read = self._inode != -1, -1, 0
            return anew, []
        anew = status.st_ino != self._inode or status.st_size < self._read
        if anew:
            self._inode, self._read = status.st_ino, 0
        if status.st_size == self._read:
            return anew, []
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return anew, list(self._rows(whole))

    def _rows(self, data: bytes) -> Iterator[Row]:
        for line in data.splitlines():
            try:
                values = json.loads(line.decode("utf-8", "surrogatepass"))
                yield Row(**{name: values[name] for name in Row._fields})
            except (ValueError, KeyError, TypeError):
                self.damaged = True

    @staticmethod
    def _ends_well(descriptor: int, size: int) -> bool:
        return os.pread(descriptor, 1, size - 1) == b"\n"


def _line(row: Row) -> str:
    return json.dumps(row._asdict(), separators=(",", ":")) + "\n"
