"""What was paid for within an iteration, so that a broken one is not paid for twice."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from cleartrace.episodes.types import Record
from cleartrace.learn.rcl.files import write_record

R = TypeVar("R", bound=Record)
Make = Callable[[], Awaitable[R]]


class Journal(Protocol):
    async def once(self, name: str, kind: type[R], inputs: Callable[[], object], make: Make[R]) -> R:
        """What `make` gives; from the journal where the same name was made from the same inputs before.

        Args:
            name: what it is, e.g. "reflections/task-7"; one for each thing made in an iteration.
            inputs: all that the result depends on; its text is compared.
        """
        ...


class NoJournal:
    """Of runs that live in memory alone."""

    async def once(self, name: str, kind: type[R], inputs: Callable[[], object], make: Make[R]) -> R:
        del name, kind, inputs
        return await make()


class FileJournal:
    """One file for each thing made, written whole: `<folder>/<name>.json` with `inputs` (a digest) and `result`.

    Args:
        under: settings that every result depends on.
    """

    def __init__(self, folder: Path, under: str = "") -> None:
        self._folder = folder
        self._under = under

    async def once(self, name: str, kind: type[R], inputs: Callable[[], object], make: Make[R]) -> R:
        path = self._folder / f"{_file_name(name)}.json"
        digest = hashlib.sha256(repr((self._under, inputs())).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        if (found := _read(path, digest, kind)) is not None:
            return found
        made = await make()
        write_record(path, _Entry(name=name, inputs=digest, result=made.model_dump(mode="json")))
        return made


class _Entry(Record):
    schema_version: int = 1
    name: str
    inputs: str
    result: dict[str, object]


def _read(path: Path, digest: str, kind: type[R]) -> R | None:
    """None where there is nothing, or nothing that was made from these inputs."""
    try:
        entry = _Entry.model_validate(json.loads(path.read_text(encoding="utf-8")))
        return kind.model_validate(entry.result) if entry.inputs == digest else None
    except (OSError, ValueError):
        return None


def _file_name(name: str) -> str:
    """`name` where it can be a path below a folder; else something near it that no other name gives."""
    plain = "/".join(re.sub(r"[^A-Za-z0-9._-]", "_", part).lstrip(".")[:80] or "_" for part in name.split("/", 1))
    if plain == name:
        return plain
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
