"""Predictions for the SWE-bench harness (Verified, Lite): checked here, because it fails late and per container.

The tasks are the user's to bring, as a file with `instance_id` (parquet, JSON or JSON lines of the data set). Patches
come from lines or a JSON file with `instance_id` and one of `model_patch`, `patch`, `submission`; a mini-swe-agent
`preds.json`, keyed by id, and single trajectory files with `info.submission` are read too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.data.errors import DataError
from cleartrace.data.files import read_json_lines, read_rows, write_json, write_json_lines

PATCH_FIELDS = ("model_patch", "patch", "submission")
_ID = re.compile(r"[\w.-]+__[\w.-]+-\d+")
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


@dataclass(frozen=True)
class Prediction:
    """One line for the harness; an empty patch counts as not resolved."""

    instance_id: str
    model_name_or_path: str
    model_patch: str

    def as_dict(self) -> dict[str, str]:
        return dict(vars(self))


@dataclass(frozen=True)
class Export:
    """What was written. `empty`: predictions without a patch; `missing`: tasks without a prediction."""

    predictions: list[Prediction]
    empty: int
    missing: list[str]


def export(patches: Sequence[Path], tasks: Path | None, model: str, out: Path) -> Export:
    """Check and write predictions to a `.jsonl` or `.json` file, whole or not at all.

    Raises:
        DataError: an id that is malformed, doubled or not a task; a patch that is no unified diff; no model name.
    """
    if not model.strip():
        raise DataError(out, "the harness names its logs after the model: give --model-name")
    if out.suffix not in (".jsonl", ".json"):
        raise DataError(out, "the harness reads .jsonl and .json")
    found: dict[str, Prediction] = {}
    for path in patches:
        for where, identifier, patch in read_patches(path):
            check_patch(where, patch)
            if not _ID.fullmatch(identifier):
                raise DataError(where, f"instance_id {identifier!r} is not of the form owner__repository-number")
            if identifier in found:
                raise DataError(where, f"instance_id {identifier!r} is there twice")
            found[identifier] = Prediction(identifier, model, patch)
    wanted = task_ids(tasks) if tasks is not None else sorted(found)
    if strange := sorted(set(found) - set(wanted)):
        raise DataError(str(tasks), f"{len(strange)} predictions are for other tasks, such as {strange[0]}")
    rows = [found[identifier] for identifier in wanted if identifier in found]
    if not rows:
        raise DataError(", ".join(map(str, patches)), "there is no prediction in it")
    if out.suffix == ".jsonl":
        write_json_lines(out, (row.as_dict() for row in rows))
    else:
        write_json(out, [row.as_dict() for row in rows])
    missing = [identifier for identifier in wanted if identifier not in found]
    return Export(rows, sum(not row.model_patch for row in rows), missing)


def task_ids(path: Path) -> list[str]:
    """Sorted ids of the tasks of a data set file."""
    rows = (row for _, row in read_rows(path, ["instance_id"])) if path.suffix == ".parquet" else _objects(path)
    ids = [str(row.get("instance_id") or "") for row in rows]
    if not ids or not all(ids):
        raise DataError(path, "there is no column instance_id in it, or a row without one")
    return sorted(set(ids))


def read_patches(path: Path) -> Iterator[tuple[str, str, str]]:
    """(place, instance_id, patch) of each row; no patch at all is an empty one."""
    for number, row in enumerate(_objects(path)):
        where = f"{path}, entry {number}"
        identifier = row.get("instance_id")
        given = next((row[name] for name in PATCH_FIELDS if name in row), None)
        if given is None and isinstance(info := row.get("info"), Mapping):
            given = info.get("submission")
        if not isinstance(identifier, str):
            raise DataError(where, "there is no instance_id")
        if given is not None and not isinstance(given, str):
            raise DataError(where, f"the patch is a {type(given).__name__}, not text")
        yield where, identifier, given or ""


def check_patch(where: str, patch: str) -> None:
    """Raises DataError for text that `git apply` could not read: no file header, no hunk, or a hunk cut short."""
    if not patch:
        return
    if not patch.endswith("\n"):
        raise DataError(where, "the patch does not end in a line break, so that git apply calls it corrupt")
    lines = patch.split("\n")[:-1]
    if not any(line.startswith("+++ ") for line in lines):
        if any(
            line.startswith(("rename from ", "new file mode ", "deleted file mode ", "GIT binary")) for line in lines
        ):
            return
        raise DataError(where, "the patch has no +++ line: it is no unified diff")
    hunks = [number for number, line in enumerate(lines) if line.startswith("@@ ")]
    if not hunks:
        raise DataError(where, "the patch has no hunk")
    for number in hunks:
        _check_hunk(where, lines, number)


def _check_hunk(where: str, lines: Sequence[str], start: int) -> None:
    head = _HUNK.match(lines[start])
    if head is None:
        raise DataError(where, f"patch line {start + 1}: {lines[start]!r} is no hunk header")
    old, new = (1 if size is None else int(size) for size in head.groups())
    for line in lines[start + 1 :]:
        if (old, new) == (0, 0):
            return
        old -= line[:1] in (" ", "-", "")
        new -= line[:1] in (" ", "+", "")
        if old < 0 or new < 0 or line[:1] not in (" ", "-", "+", "\\", ""):
            break
    if (old, new) != (0, 0):
        raise DataError(where, f"patch line {start + 1}: the hunk is shorter or longer than its header says")


def _objects(path: Path) -> Iterable[Mapping[str, Any]]:
    if path.suffix == ".jsonl":
        return [row for _, row in read_json_lines(path)]
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(path, f"not readable as JSON ({error})") from None
    if isinstance(value, dict) and "instance_id" not in value:
        value = [{"instance_id": key, **row} if isinstance(row, dict) else row for key, row in value.items()]
    rows = value if isinstance(value, list) else [value]
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(path, "expected objects with instance_id, or an object keyed by it")
    return rows
