"""A run as files. The state is the truth: what stands beside it is written before it, or can be made from it.

<run>/state.json          everything needed to go on; written last in every iteration
      config.yaml         settings
      history.jsonl       a line for each iteration: what was learned. Equal runs have equal bytes
      playbook.json       now;  best.json: the best so far. Both are playbooks as any command takes them
      result.json         why the run ended
      iterations/0001/    iteration.json, proposal.json, decision.json, memory.json, reflections/*.json, playbook.json
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cleartrace.data.files import whole_file
from cleartrace.data.growing import LineFile, StoreError, lock_folder
from cleartrace.episodes.types import Record
from cleartrace.learn.rcl.files import to_json, write_record
from cleartrace.learn.rcl.journal import FileJournal, Journal
from cleartrace.learn.rcl.loop import SPOILED_LIMIT, Result
from cleartrace.learn.rcl.state import State
from cleartrace.learn.rcl.step import Done


class RunDirectoryError(Exception):
    """A folder that cannot be used as asked; says what to do."""


class _Ended(Record):
    schema_version: int = 1
    stop: str
    reason: str
    iteration: int
    best_value: float | None
    best_iteration: int
    best_val_n: int = 0
    final_val_pass: float | None = None
    final_val_tgc: float | None = None
    final_val_n: int = 0


class RunDirectory:
    """A `RunStore` in a folder. One process at a time: it holds a lock until it closes or dies.

    Args:
        resume: go on with the run that is there; without it a folder that holds one is refused.
        checkpoint_interval: keep `iterations/<n>/playbook.json` every so many iterations.

    Raises:
        RunDirectoryError: there is a run, or none, or another process has it, or its files are damaged.
    """

    detailed = True

    def __init__(self, folder: Path, *, resume: bool = False, checkpoint_interval: int = 1) -> None:
        self.folder = folder
        self._interval = checkpoint_interval
        if resume and not (folder / "state.json").is_file():
            raise RunDirectoryError(f"{folder} holds no run to go on with: it has no state.json")
        if not resume and (folder / "state.json").exists():
            raise RunDirectoryError(f"{folder} holds a run; go on with --resume {folder}, or name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder)

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._lock)

    def load(self) -> State | None:
        path = self.folder / "state.json"
        if not path.exists():
            return None
        try:
            state = State.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RunDirectoryError(f"{path} cannot be read: {_first_line(error)}") from None
        if state.schema_version > State().schema_version:
            raise RunDirectoryError(
                f"{path} was written by a later version of cleartrace (schema {state.schema_version})"
            )
        self._trim_history(state.iteration)
        self._write_playbooks(state)
        # A run that ended for faults of others gets as many tries again.
        return state.model_copy(update={"spoiled": 0}) if state.spoiled >= SPOILED_LIMIT else state

    def begin(self, state: State) -> None:
        (self.folder / "history.jsonl").write_bytes(b"")
        self._write_playbooks(state)
        write_record(self.folder / "state.json", state)

    def journal(self, iteration: int, under: str) -> Journal:
        return FileJournal(self._iteration(iteration), under)

    def commit(self, done: Done) -> None:
        folder = self._iteration(done.row.iteration)
        if done.record is not None:
            write_record(folder / "iteration.json", done.record)
        if done.row.iteration % self._interval == 0:
            write_record(folder / "playbook.json", done.state.playbook)
        with LineFile(self.folder / "history.jsonl") as history:
            history.add(to_json(done.row))
        write_record(self.folder / "state.json", done.state)
        self._write_playbooks(done.state)

    def finish(self, result: Result) -> None:
        write_record(self.folder / "best.json", result.best.playbook)
        final = result.final
        ended = _Ended(
            stop=result.stop.value,
            reason=result.reason,
            iteration=result.state.iteration,
            best_value=result.best.value,
            best_iteration=result.best.iteration,
            best_val_n=len(result.best.scores),
            final_val_pass=final.mean if final else None,
            final_val_tgc=final.passed if final else None,
            final_val_n=final.n if final else 0,
        )
        write_record(self.folder / "result.json", ended)

    def _iteration(self, number: int) -> Path:
        return self.folder / "iterations" / f"{number:04d}"

    def _write_playbooks(self, state: State) -> None:
        write_record(self.folder / "playbook.json", state.playbook)
        if state.best is not None:
            write_record(self.folder / "best.json", state.best.playbook)

    def _trim_history(self, rows: int) -> None:
        """Drop rows of an iteration that was not committed; a half-written one may end the file."""
        path = self.folder / "history.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        if len(lines) < rows:
            raise RunDirectoryError(f"{path} has lost rows: {len(lines)} of {rows} are left; restore it, then resume")
        if len(lines) > rows:
            with whole_file(path) as partial:
                partial.write_bytes(b"".join(lines[:rows]))


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Rows of `history.jsonl`."""
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _locked(folder: Path) -> int:
    try:
        return lock_folder(folder)
    except StoreError as error:
        raise RunDirectoryError(str(error)) from None


def _first_line(error: Exception) -> str:
    text = str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else str(error)
    return text.splitlines()[0] if text else type(error).__name__
