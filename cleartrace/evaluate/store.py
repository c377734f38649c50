"""The growing files of an evaluation: one line per finished rollout, appended at once, resumable after any death."""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cleartrace.data.files import whole_file
from cleartrace.evaluate.outcome import Key, RolloutOutcome

ROLLOUTS = "rollouts.jsonl"
TRAJECTORIES = "trajectories.jsonl"
MANIFEST = "evaluation.json"


class StoreError(RuntimeError):
    """The output folder cannot be used as it is; the message says what to do."""


class RolloutStore:
    """Outcomes in `rollouts.jsonl`, full records in `trajectories.jsonl`, and the settings both belong to.

    A killed process loses the rollouts in flight: a line without its newline is cut off at the next start. Only one
    process may write to a folder at a time.

        with RolloutStore(folder, identity) as store:
            todo = [key for key in wanted if key not in store.done]
            store.append(outcome, record_json)
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """`identity`: the settings under which rollouts may stand in one file; JSON values."""
        self.folder = folder
        self._identity = identity
        self._lock: int | None = None
        self._files: dict[str, int] = {}
        self.done: dict[Key, RolloutOutcome] = {}

    def __enter__(self) -> RolloutStore:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(self.folder)
        try:
            settle_identity(self.folder, MANIFEST, ROLLOUTS, self._identity)
            for name in (ROLLOUTS, TRAJECTORIES):
                cut_torn_line(self.folder / name)
                self._files[name] = os.open(self.folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            self.done = {outcome.key: outcome for outcome in read_outcomes(self.folder / ROLLOUTS)}
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def append(self, outcome: RolloutOutcome, record: str | None = None) -> None:
        """Write one rollout. Its record goes first, so that no outcome is ever without one."""
        if record is not None:
            append_line(self._files[TRAJECTORIES], record)
        append_line(self._files[ROLLOUTS], outcome.model_dump_json())
        self.done[outcome.key] = outcome


def settle_identity(folder: Path, manifest: str, rows: str, identity: Mapping[str, Any]) -> None:
    """Write the settings of a run into its folder, or hold a resumed run to the settings it was begun with.

    Args:
        manifest, rows: names of the files with the settings and with the rows they belong to.
        identity: the settings under which rows may stand in one file; JSON values.

    Raises:
        StoreError: there are rows without settings, or other settings.
    """
    now = json.loads(json.dumps(identity))
    path = folder / manifest
    if not path.exists():
        if (folder / rows).exists():
            raise StoreError(f"{folder} holds {rows} but no {manifest}; choose another --out")
        write_json(path, now)
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    if changed := sorted(k for k in {*before, *now} if before.get(k) != now.get(k)):
        listed = "; ".join(f"{k}: {before.get(k)!r} there, {now.get(k)!r} now" for k in changed[:4])
        raise StoreError(
            f"{folder} was begun with other settings ({listed}). Results of both would be one number: "
            "choose another --out, or repeat the settings of before."
        )


def read_outcomes(path: Path) -> Iterator[RolloutOutcome]:
    """Outcomes in file order; a later line of one key replaces an earlier one for the caller.

    Raises:
        StoreError: a whole line is no outcome.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield RolloutOutcome.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"])) or "line"
                raise StoreError(f"{path}, line {number}: {where}: {first['msg']}") from None


def cut_torn_line(path: Path) -> bool:
    """Cut what a killed process left behind the last newline; True when something was cut."""
    if not path.exists():
        return False
    with path.open("r+b") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(end - 65536, 0)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        file.truncate(end)
    return end < size


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one step."""
    with whole_file(path) as draft:
        draft.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def append_line(descriptor: int, line: str) -> None:
    """Write one line, all of it, to a file opened for appending."""
    data = memoryview(line.encode("utf-8", "backslashreplace") + b"\n")
    while data:
        data = data[os.write(descriptor, data) :]


def lock_folder(folder: Path) -> int:
    """Hold a folder for this process until the descriptor is closed. Raises StoreError when another one holds it."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreError(f"another process is writing to {folder}; wait for it or choose another --out") from None
    return descriptor


def finite(value: Any) -> Any:
    """`value` with null for what JSON does not know: infinity, an unbounded interval, and NaN."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
