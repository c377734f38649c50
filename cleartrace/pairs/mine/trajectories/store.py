"""The working file of a mining run: facts of all trajectories, texts of the few that are paired, verdicts.

SQLite keeps memory flat at any number of trajectories, answers the cascade's joins, and is where a killed run goes on:
every row is written once, and the position in a source file is stored in the same transaction as the rows up to it.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from cleartrace.data.errors import DataError
from cleartrace.pairs.mine.trajectories.facts import Facts
from cleartrace.pairs.mine.trajectories.issues import Terms
from cleartrace.pairs.mine.trajectories.tasks import UNKNOWN, Task

_SCHEMA = """
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS source (id INTEGER PRIMARY KEY, path TEXT, next INTEGER, done INTEGER);
CREATE TABLE IF NOT EXISTS run (
  id INTEGER PRIMARY KEY, source INTEGER, at INTEGER, instance TEXT, grp TEXT, path TEXT, scope TEXT, change TEXT,
  turns INTEGER, chars INTEGER, edits INTEGER);
CREATE TABLE IF NOT EXISTS left_out (why TEXT PRIMARY KEY, n INTEGER);
CREATE TABLE IF NOT EXISTS issue (instance TEXT PRIMARY KEY, terms BLOB, names TEXT, tests TEXT);
CREATE TABLE IF NOT EXISTS task (instance TEXT PRIMARY KEY, data TEXT);
CREATE TABLE IF NOT EXISTS content (run INTEGER PRIMARY KEY, data BLOB);
CREATE TABLE IF NOT EXISTS candidate (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, outcome TEXT, result TEXT);
"""
_INDEX = "CREATE INDEX IF NOT EXISTS cascade ON run (grp, path, scope, instance)"


@dataclass(frozen=True)
class Issue:
    """What stage 4 compares."""

    terms: Terms
    names: frozenset[str]
    tests: frozenset[str]


@dataclass(frozen=True)
class Run:
    """A row of the index. `at` is a position in file number `source`."""

    id: int
    source: int
    at: int
    instance: str
    group: str
    path: str
    scope: str
    change: str
    turns: int
    chars: int
    edits: int


class Store:
    """Open or make the working file at `path`.

    Raises:
        DataError: the file belongs to a run with other settings or inputs.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path)
        # A killed process loses nothing in either mode; a power cut may lose the last commits, which are done again.
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.executescript(_SCHEMA)
        wanted = json.dumps(settings, sort_keys=True)
        stored = self.db.execute("SELECT value FROM setting WHERE name='settings'").fetchone()
        if stored and stored[0] != wanted:
            self.db.close()
            raise DataError(path, "it belongs to a run with other settings or inputs; delete it or name another file")
        if not stored:
            self.db.execute("INSERT INTO setting VALUES ('settings', ?)", (wanted,))
            self.db.commit()

    def close(self) -> None:
        self.db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def commit(self) -> None:
        self.db.commit()

    def setting(self, name: str) -> str | None:
        """A stored value; there once a phase is done."""
        row = self.db.execute("SELECT value FROM setting WHERE name=?", (name,)).fetchone()
        return row[0] if row else None

    def set_setting(self, name: str, value: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))
        self.db.commit()

    # Tasks ----------------------------------------------------------------------------------------------------------

    def load_tasks(self, tasks: Iterable[tuple[str, Task]]) -> None:
        """Keep the task table here, and not in memory: it holds the issues and patches of all instances. Done once."""
        if self.setting("tasks") is None:
            rows = ((instance, json.dumps(astuple(task))) for instance, task in tasks)
            self.db.executemany("INSERT OR REPLACE INTO task VALUES (?, ?)", rows)
            self.set_setting("tasks", "loaded")

    def task(self, instance: str) -> Task:
        row = self.db.execute("SELECT data FROM task WHERE instance=?", (instance,)).fetchone()
        if row is None:
            return UNKNOWN
        commit, tests, issue, patch = json.loads(row[0])
        return Task(commit, tuple(tests), issue, patch)

    # Pass 1 ---------------------------------------------------------------------------------------------------------

    def position(self, source: int, path: Path) -> tuple[int, int]:
        """(where to go on, rows done) of a source file."""
        row = self.db.execute("SELECT next, done FROM source WHERE id=?", (source,)).fetchone()
        if row is None:
            self.db.execute("INSERT INTO source VALUES (?, ?, 0, 0)", (source, str(path)))
        return row or (0, 0)

    def advance(self, source: int, at: int, done: int) -> None:
        """Commit what was read so far."""
        self.db.execute("UPDATE source SET next=?, done=? WHERE id=?", (at, done, source))
        self.db.commit()

    def add_run(self, source: int, at: int, f: Facts) -> None:
        values = (source, at, f.instance.text, f.instance.group, f.path, f.scope, f.change, f.turns, f.chars, f.edits)
        self.db.execute(f"INSERT INTO run VALUES (NULL{', ?' * len(values)})", values)

    def count_left_out(self, why: str) -> None:
        self.db.execute("INSERT INTO left_out VALUES (?, 1) ON CONFLICT (why) DO UPDATE SET n = n + 1", (why,))

    def has_issue(self, instance: str) -> bool:
        return self.db.execute("SELECT 1 FROM issue WHERE instance=?", (instance,)).fetchone() is not None

    def add_issue(self, instance: str, issue: Issue) -> None:
        texts = (json.dumps(sorted(issue.names)), json.dumps(sorted(issue.tests)))
        self.db.execute("INSERT INTO issue VALUES (?, ?, ?, ?)", (instance, issue.terms.to_bytes(), *texts))

    # Cascade --------------------------------------------------------------------------------------------------------

    def rows_read(self) -> int:
        return self.db.execute("SELECT COALESCE(SUM(done), 0) FROM source").fetchone()[0]

    def left_out(self) -> dict[str, int]:
        return dict(self.db.execute("SELECT why, n FROM left_out ORDER BY why"))

    def instance_pairs(self, columns: str) -> int:
        """Number of pairs of different instances that agree in the given columns."""
        query = f"SELECT SUM(n * (n - 1) / 2) FROM (SELECT COUNT(DISTINCT instance) AS n FROM run GROUP BY {columns})"
        return self.db.execute(query).fetchone()[0] or 0

    def same_function(self) -> Iterator[list[Run]]:
        """Runs that share commit, file and function, of at least two instances; one such list at a time."""
        self.db.execute(_INDEX)
        keys = self.db.execute(
            "SELECT grp, path, scope FROM run GROUP BY grp, path, scope HAVING COUNT(DISTINCT instance) > 1 "
            "ORDER BY grp, path, scope"
        )
        for key in keys:
            query = "SELECT * FROM run WHERE grp=? AND path=? AND scope=? ORDER BY instance, id"
            yield [Run(*row) for row in self.db.execute(query, key)]

    def issue(self, instance: str) -> Issue:
        row = self.db.execute("SELECT terms, names, tests FROM issue WHERE instance=?", (instance,)).fetchone()
        return Issue(Terms.from_bytes(row[0]), frozenset(json.loads(row[1])), frozenset(json.loads(row[2])))

    def all_terms(self) -> Iterator[Terms]:
        for (data,) in self.db.execute("SELECT terms FROM issue ORDER BY instance"):
            yield Terms.from_bytes(data)

    def set_candidates(self, pairs: Iterable[tuple[int, int]]) -> None:
        self.db.execute("DELETE FROM candidate")
        self.db.executemany("INSERT INTO candidate (a, b) VALUES (?, ?)", pairs)

    # Pass 2 ---------------------------------------------------------------------------------------------------------

    def runs_without_content(self, source: int) -> list[Run]:
        query = (
            "SELECT run.* FROM run WHERE source=? AND id IN (SELECT a FROM candidate UNION SELECT b FROM candidate) "
            "AND id NOT IN (SELECT run FROM content) ORDER BY at"
        )
        return [Run(*row) for row in self.db.execute(query, (source,))]

    def add_content(self, run: int, row: dict[str, Any]) -> None:
        self.db.execute("INSERT INTO content VALUES (?, ?)", (run, zlib.compress(json.dumps(row).encode(), 1)))

    def content(self, run: int) -> dict[str, Any]:
        data = self.db.execute("SELECT data FROM content WHERE run=?", (run,)).fetchone()[0]
        return json.loads(zlib.decompress(data))

    def run(self, id: int) -> Run:
        return Run(*self.db.execute("SELECT * FROM run WHERE id=?", (id,)).fetchone())

    def open_candidates(self) -> list[tuple[int, int, int]]:
        """(candidate, run, run) of those without an outcome."""
        return list(self.db.execute("SELECT id, a, b FROM candidate WHERE outcome IS NULL ORDER BY id"))

    def close_candidate(self, id: int, outcome: str, result: dict[str, Any]) -> None:
        self.db.execute("UPDATE candidate SET outcome=?, result=? WHERE id=?", (outcome, json.dumps(result), id))
        self.db.commit()

    def candidates(self) -> int:
        return self.db.execute("SELECT COUNT(*) FROM candidate").fetchone()[0]

    def outcomes(self) -> dict[str, int]:
        return dict(self.db.execute("SELECT outcome, COUNT(*) FROM candidate GROUP BY outcome ORDER BY outcome"))

    def results(self, outcome: str) -> Iterator[dict[str, Any]]:
        for (text,) in self.db.execute("SELECT result FROM candidate WHERE outcome=? ORDER BY id", (outcome,)):
            yield json.loads(text)
