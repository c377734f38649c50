"""Runs on disk: added once, never changed, found by what they were, and readable as plain files.

<folder>/runs/<environment>/<task>/<id>/trajectory.jsonl  view.md  outcome.json
<folder>/index.jsonl
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb
from pathlib import Path

from cleartrace.episodes.files import PART, StoreError, dump, folder_name, read_run, write_run
from cleartrace.episodes.identity import HasTask, RunKey, TaskKey
from cleartrace.episodes.index import IndexFile, Row, row_of
from cleartrace.episodes.types import Episode, FailureKind, RunKind

RUNS = "runs"
STALE_S = 3600.0
"""A draft of a run that is older was left by a writer that died."""


class EpisodeStore:
    """Append-only, content-addressed runs in one folder, for any number of writers.

    A writer may die at any moment: a run is there whole or not at all. (What a power cut tears is named in `broken`.)

    Example:
        >>> import tempfile
        >>> from cleartrace.episodes.types import Episode, Outcome, Trajectory
        >>> store = EpisodeStore(tempfile.mkdtemp())
        >>> run = Trajectory(environment="sums", task_id="1+1", agent="a", output="2")
        >>> id = store.add(Episode(trajectory=run, outcome=Outcome(score=1.0)))
        >>> store.get(id).trajectory.output, [row.score for row in store.find(task="1+1")]
        ('2', [1.0])
    """

    def __init__(self, folder: Path | str, *, create: bool = True) -> None:
        """Open a store, and make its index fit its files.

        Raises:
            StoreError: there is no such folder and none is to be made.
        """
        self.folder = Path(folder)
        if not create and not (self.folder / RUNS).is_dir():
            raise StoreError(f"{self.folder} holds no episodes; give a folder that `episodes import` or a run filled")
        (self.folder / RUNS).mkdir(parents=True, exist_ok=True)
        self._index = IndexFile(self.folder)
        self._forget()
        self.broken: dict[Path, str] = {}
        """Folders that hold no readable run, and why. They are passed over."""
        self._refresh()
        self._mend()

    def __len__(self) -> int:
        self._refresh()
        return len(self._rows)

    def __contains__(self, id: str) -> bool:
        self._refresh()
        return id in self._rows

    def add(self, episode: Episode) -> str:
        """Store a run and return its id. A run that is there already is left as it is."""
        id, trajectory, outcome, view = dump(episode)
        if id not in self._rows:
            row = row_of(id, episode)
            write_run(self._path(row), trajectory, outcome, view)
            with self._index.lock():
                self._refresh()
                if id not in self._rows:
                    self._index.append([row])
            self._take([row])
        return id

    def get(self, id: str) -> Episode:
        """Raises: `StoreError` for an unknown id or a damaged run."""
        return read_run(self.path(id))[1]

    def path(self, id: str) -> Path:
        """The folder of a run. Raises: `StoreError` for an unknown id."""
        if id not in self._rows:
            self._refresh()
        if id not in self._rows:
            raise StoreError(f"{self.folder} holds no run {id}")
        return self._path(self._rows[id])

    def find(
        self,
        *,
        environment: str | None = None,
        task: str | None = None,
        agent: str | None = None,
        provider: str | None = None,
        context: str | None = None,
        seed: int | None = None,
        kind: RunKind | None = None,
    ) -> list[Row]:
        """Runs that fit all that is given, in a fixed order: environment, task, seed, id."""
        self._refresh()
        if environment is not None and task is not None:
            pool = self._by_task.get(TaskKey(environment, task), [])
        else:
            pool = list(self._rows.values())
        given = {"environment": environment, "task": task, "agent": agent, "provider": provider}
        given |= {"context": context, "seed": seed, "kind": kind.value if kind else None}
        wanted = [(name, value) for name, value in given.items() if value is not None]
        found = [row for row in pool if all(getattr(row, name) == value for name, value in wanted)]
        return sorted(found, key=lambda row: (row.environment, row.task, row.seed, row.id))

    def made(self, key: RunKey) -> Row | None:
        """The run that was made under these conditions and counts, if there is one.

        Of several, one that no limit of wall time ended, then the first by id.
        """
        self._refresh()
        counting = [row for row in self._by_key.get(key, ()) if row.score is not None]
        return min(counting, key=lambda row: (row.failure == FailureKind.TIME_LIMIT.value, row.id), default=None)

    def tasks(self) -> list[TaskKey]:
        """Tasks that have runs, sorted."""
        self._refresh()
        return sorted(self._by_task)

    def group(
        self,
        task: HasTask,
        *,
        n: int | None = None,
        order: Sequence[int] = (),
        agent: str | None = None,
        provider: str | None = None,
    ) -> list[Row]:
        """Clean, scored runs of one task, by seed and id. Give agent and provider for comparable conditions.

        Args:
            n: only so many: those first whose seeds come first in `order`, then by seed.
        """
        found = self.find(
            environment=task.environment, task=task.id, agent=agent, provider=provider, kind=RunKind.CLEAN
        )
        scored = [row for row in found if row.score is not None]
        place = {seed: number for number, seed in enumerate(order)}
        first = {row.id for row in sorted(scored, key=lambda row: place.get(row.seed, len(place)))[:n]}
        return [row for row in scored if row.id in first]

    def subsets(
        self,
        task: HasTask,
        *,
        n: int | None = None,
        k: int = 3,
        order: Sequence[int] = (),
        limit: int | None = None,
        seed: int = 0,
        agent: str | None = None,
        provider: str | None = None,
    ) -> list[tuple[Row, ...]]:
        """All sets of `k` among the first `n` runs of a task's group, in lexicographic order: 6 runs give 20 sets of 3.

        Args:
            order: of seeds, as in `group`.
            limit: draws that many of them under `seed`; they keep their order.
        """
        rows = self.group(task, n=n, order=order, agent=agent, provider=provider)
        total = comb(len(rows), k)
        sets = combinations(rows, k)
        if limit is None or limit >= total:
            return list(sets)
        stream = random.Random(f"{seed}:subsets:{task.environment}:{task.id}")
        drawn = set(stream.sample(range(total), limit))
        return [one for number, one in enumerate(sets) if number in drawn]

    def _path(self, row: Row) -> Path:
        return self.folder / RUNS / folder_name(row.environment) / folder_name(row.task) / row.id

    def _forget(self) -> None:
        self._rows: dict[str, Row] = {}
        self._by_task: dict[TaskKey, list[Row]] = {}
        self._by_key: dict[RunKey, list[Row]] = {}

    def _take(self, rows: list[Row]) -> None:
        for row in rows:
            if row.id not in self._rows:
                self._rows[row.id] = row
                self._by_task.setdefault(row.task_key, []).append(row)
                self._by_key.setdefault(row.key, []).append(row)

    def _refresh(self) -> None:
        anew, rows = self._index.news()
        if anew:
            self._forget()
        self._take(rows)

    def _mend(self) -> None:
        """Bring the index to what the folders hold: a writer died before its line, or files were removed by hand."""
        there = dict(self._folders())
        if there.keys() == self._rows.keys() and not self._index.damaged:
            return
        with self._index.lock():
            self._refresh()
            there = dict(self._folders())
            lost = self._rows.keys() - there.keys()
            new = list(self._read_rows(path for id, path in there.items() if id not in self._rows))
            if lost or self._index.damaged:
                self._index.write([row for row in self._rows.values() if row.id not in lost] + new)
            elif new:
                self._index.append(new)
            self._index.damaged = False
        self._refresh()

    def _read_rows(self, folders: Iterator[Path]) -> Iterator[Row]:
        for folder in folders:
            try:
                id, episode = read_run(folder)
                if id != folder.name:
                    raise StoreError(f"{folder} holds another run, {id}: its files were changed; remove the folder")
                yield row_of(id, episode)
            except StoreError as error:
                self.broken[folder] = str(error)

    def _folders(self) -> Iterator[tuple[str, Path]]:
        """Folders of runs by their names. Drafts that a dead writer left are removed."""
        for environment in _subfolders(self.folder / RUNS):
            for task in _subfolders(environment):
                for run in _subfolders(task):
                    if not run.name.endswith(PART):
                        yield run.name, Path(run)
                    elif _stale(run):
                        shutil.rmtree(run, ignore_errors=True)


def _subfolders(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if entry.is_dir()), key=lambda entry: entry.name)


def _stale(draft: os.DirEntry[str]) -> bool:
    """No longer written. A living writer may finish its draft, and so rename it, between the listing and this call."""
    try:
        return time.time() - draft.stat().st_mtime > STALE_S
    except FileNotFoundError:
        return False
