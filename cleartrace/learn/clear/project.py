"""The folder of a CLEAR project: what each stage writes, and what to do when it is not there.

<DIR>/collect.json  tasks.jsonl  gold.jsonl  episodes/             collect, or import
<DIR>/ledger.jsonl                                                 what collecting took, over all starts
<DIR>/reflections/  reflect.json  rows.jsonl  dropped.jsonl        reflect
<DIR>/split.json  train.jsonl  held_out.jsonl                      split
<DIR>/export/<format>/                                             export
<DIR>/replies/                                                     every reply of a model, so that none is paid twice

A second set of rows of the same runs has a name, and lies in `<DIR>/<name>/` from `reflect.json` on.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import Field, ValidationError

from cleartrace.data.errors import DataError
from cleartrace.data.files import read_json_lines, whole_file, write_json_lines
from cleartrace.data.growing import StoreError, lock_folder
from cleartrace.episodes.types import Record, Task

R = TypeVar("R", bound=Record)
OWN = frozenset({"episodes", "reflections", "replies", "export", "reading"})


class ProjectError(ValueError):
    """A stage cannot run; says why, and what to do."""


class Collected(Record):
    """How the runs were made.

    Args:
        agent: its hash. `agent_settings`: the same to read.
        context: the provider as it was named. `provider`: its hash; None where runs of any are taken.
        runs: of each task, at most. `limit`: of the tasks.
        source, scenario: of imported runs; see `collect.Adoption`.
    """

    schema_version: int = 1
    environment: str
    environment_options: dict[str, Any] = Field(default_factory=dict)
    split: str = "train"
    agent: str
    agent_settings: dict[str, Any] = Field(default_factory=dict)
    context: str = "none"
    provider: str | None = None
    cap: int | None = None
    seed: int = 42
    runs: int = 6
    limit: int | None = None
    source: str = ""
    scenario: str = ""

    _free: ClassVar[frozenset[str]] = frozenset({"runs", "limit", "schema_version", "agent_settings"})

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs of each task, in the order in which they are made; of imported runs that is not known."""
        return () if self.source else run_seeds(self.seed, self.runs)


def run_seeds(seed: int, runs: int) -> tuple[int, ...]:
    """Those of fewer runs come first, so that more can be added later."""
    return tuple(random.Random(f"{seed}:collect:{number}").randrange(2**31) for number in range(runs))


class Reflected(Record):
    """How the rows were made. `writer`: hash of the reflection agent; `settings`: the same to read."""

    schema_version: int = 1
    writer: str
    settings: dict[str, Any] = Field(default_factory=dict)
    k: int
    n: int
    keep: str
    seed: int
    limit: int | None = None
    general_from: int | None = None

    _free: ClassVar[frozenset[str]] = frozenset({"n", "limit", "schema_version", "settings", "general_from"})


class Project:
    """Paths of one project, and its records. `name`: of another set of rows than the first."""

    def __init__(self, folder: Path, name: str = "") -> None:
        if name and (not re.fullmatch(r"\w[\w.-]*", name) or name in OWN):
            raise ProjectError(f"a set of rows cannot be called {name!r}: take letters and digits, e.g. no-contrast")
        self.folder, self.name = folder, name
        self.stage = folder / name if name else folder
        self.episodes, self.reflections = folder / "episodes", folder / "reflections"
        self.replies, self.reading = folder / "replies", folder / "reading"
        self.collected_file, self.tasks_file = folder / "collect.json", folder / "tasks.jsonl"
        self.gold_file = folder / "gold.jsonl"
        self.reflected_file, self.rows_file = self.stage / "reflect.json", self.stage / "rows.jsonl"
        self.dropped_file, self.funnel_file = self.stage / "dropped.jsonl", self.stage / "funnel.json"
        self.split_file, self.export = self.stage / "split.json", self.stage / "export"
        self.train_file, self.held_out_file = self.stage / "train.jsonl", self.stage / "held_out.jsonl"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """For this process alone. Raises `ProjectError` where another one is at work."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = lock_folder(self.folder)
        except StoreError as error:
            raise ProjectError(str(error)) from None
        try:
            for folder in (self.folder, self.stage, *self.export.glob("*")):
                sweep(folder)
            yield
        finally:
            os.close(lock)

    def collected(self) -> Collected:
        """Raises `ProjectError` before `collect`."""
        hint = "`cleartrace clear collect ENV --out DIR` or `cleartrace clear import SOURCE --out DIR` makes it"
        return _read_record(self.collected_file, Collected, hint)

    def reflected(self) -> Reflected:
        """Raises `ProjectError` before `reflect`."""
        return _read_record(self.reflected_file, Reflected, f"run {self.command('reflect', '--model SPEC')} first")

    def tasks(self) -> list[Task]:
        """As the agents saw them. Raises `ProjectError` before `collect`."""
        if not self.tasks_file.is_file():
            self.collected()
            raise ProjectError(f"{self.tasks_file} is missing: run the command that collected the runs again")
        return list(read_records(self.tasks_file, Task))

    def gold(self) -> dict[str, list[str]]:
        """Task id -> answers that the environment knows. Shown to no agent."""
        if not self.gold_file.is_file():
            return {}
        return {str(row["id"]): [str(one) for one in row["values"]] for _, row in read_json_lines(self.gold_file)}

    def command(self, verb: str, options: str = "") -> str:
        """A command of this project, to be shown."""
        words = ["cleartrace clear", verb, str(self.folder), f"--name {self.name}" if self.name else "", options]
        return f"`{' '.join(filter(None, words))}`"


def settle(path: Path, now: Collected | Reflected, hint: str) -> None:
    """Write how a stage is made, or hold it to how it was begun; what only adds to it may change.

    Raises:
        ProjectError: settings differ that would mix two things in one folder.
    """
    if path.is_file():
        before = _read_record(path, type(now), "")
        old, new = before.model_dump(mode="json"), now.model_dump(mode="json")
        if differ := [name for name in new if name not in now._free and old.get(name) != new[name]]:
            said = "; ".join(f"{name}: {old.get(name)!r} there, {new[name]!r} now" for name in differ)
            raise ProjectError(f"{path} was made with other settings ({said}): {hint}")
    write_record(path, now)


def write_record(path: Path, record: Record) -> None:
    """The file is there whole, or as it was."""
    with whole_file(path) as partial:
        partial.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")


def write_records(path: Path, records: Iterable[Record]) -> int:
    """JSON lines; returns how many."""
    return write_json_lines(path, (record.model_dump(mode="json") for record in records))


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """Raises `DataError` that names the line."""
    for number, row in read_json_lines(path):
        try:
            yield kind.model_validate(row)
        except ValidationError as error:
            raise DataError(f"{path}, line {number}", error.errors()[0]["msg"]) from None


def sweep(folder: Path) -> None:
    """Remove drafts of files that killed processes left behind. Nobody may be writing there."""
    for draft in folder.glob(".*.part"):
        draft.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """16 hexadecimal characters of the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _read_record(path: Path, kind: type[R], hint: str) -> R:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProjectError(f"there is no {path}: {hint}") from None
    except (ValidationError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path} cannot be read ({error}); remove it and run its command again") from None
