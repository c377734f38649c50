"""Files that grow line by line while work goes on, and survive a death at any moment."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import Self

from cleartrace.data.files import write_json


class StoreError(RuntimeError):
    """The folder cannot be used as it is; the message says what to do."""


class LineFile:
    """A file that one process at a time appends lines to; each is in the file when `add` returns.

    What a killed process left behind the last newline is cut off when the file is opened.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        cut_torn_line(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, line: str) -> None:
        data = memoryview(line.encode("utf-8", "backslashreplace") + b"\n")
        while data:
            data = data[os.write(self._file, data) :]

    def close(self) -> None:
        os.close(self._file)


class GrowingFolder:
    """A folder of line files for one process at a time, all of them made under the same settings.

    A subclass names its files, and reads in `load` what is there:

        with Answers(folder, identity) as store:
            store.lines["answers.jsonl"].add(text)

    Args:
        identity: the settings under which lines may stand in one file; JSON values.

    Raises:
        StoreError: on entry, when another process writes to the folder, or its lines were made under other settings.
    """

    MANIFEST: ClassVar[str]
    """Name of the file with the settings."""
    FILES: ClassVar[tuple[str, ...]]
    """Names of the files with lines."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self.lines: dict[str, LineFile] = {}
        self._identity = identity
        self._held = ExitStack()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.callback(os.close, lock_folder(self.folder))
            self._settle_identity()
            self.lines = {name: stack.enter_context(LineFile(self.folder / name)) for name in self.FILES}
            self.load()
            self._held = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def load(self) -> None:
        """Read what is there. Called once, under the lock, with every torn line cut off."""

    def _settle_identity(self) -> None:
        """Write the settings into a new folder, or hold a resumed run to the settings it was begun with."""
        now = json.loads(json.dumps(self._identity))
        path = self.folder / self.MANIFEST
        if not path.exists():
            if found := [name for name in self.FILES if (self.folder / name).exists()]:
                raise StoreError(f"{self.folder} holds {found[0]} but no {self.MANIFEST}; choose another --out")
            write_json(path, now)
            return
        before = json.loads(path.read_text(encoding="utf-8"))
        if changed := sorted(k for k in {*before, *now} if before.get(k) != now.get(k)):
            listed = "; ".join(f"{k}: {before.get(k)!r} there, {now.get(k)!r} now" for k in changed[:4])
            raise StoreError(
                f"{self.folder} was begun with other settings ({listed}). Results of both would be one number: "
                "choose another --out, or repeat the settings of before."
            )


def lock_folder(folder: Path) -> int:
    """Hold a folder for this process until the descriptor is closed. Raises `StoreError` when another one holds it."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreError(f"another process is writing to {folder}; wait for it or choose another folder") from None
    return descriptor


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
