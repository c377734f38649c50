"""Playbooks in files: ours, with one line a fact for Git, and the published JSON of version 1.0."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cleartrace.context.playbook.rules import OTHERS
from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.data.errors import DataError, column_errors
from cleartrace.data.files import whole_file
from cleartrace.trajectory.record import written

SCHEMA_VERSION = 2
PUBLISHED_VERSION = "1.0"
_NUMBER = re.compile(r"e(\d{1,18})", re.ASCII)
_PUBLISHED_NAMES = {
    "content": "text",
    "entry_id": "id",
    "helpful_count": "helpful",
    "harmful_count": "harmful",
}


def load(path: Path) -> Playbook:
    """Read a playbook, ours or a published one. Fields that are unknown here are kept.

    Errors: `DataError` for a file that is no playbook, of a later schema, or with ids that several entries share (S7).
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DataError(path, "there is no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(path, f"not a JSON file ({error})") from None
    return from_json(raw, path)


def save(playbook: Playbook, path: Path) -> None:
    """Write `path` whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(to_text(playbook), encoding="utf-8", newline="\n")


def to_text(playbook: Playbook) -> str:
    """The file of a playbook: indented JSON, fields in a fixed order, so that a difference is shown where it is."""
    return str(written(json.dumps(playbook.model_dump(mode="json"), ensure_ascii=False, indent=1))) + "\n"


def from_json(raw: Any, where: Path | str = "playbook") -> Playbook:
    """A playbook from parsed JSON of either kind. Errors: `DataError` that names `where`."""
    if not isinstance(raw, dict) or not isinstance(raw.get("entries"), list):
        raise DataError(where, 'not a playbook: an object with a list "entries" is needed')
    if "schema_version" not in raw:
        return _from_published(raw, where)
    version = raw["schema_version"]
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise DataError(where, f"schema version {version}; this cleartrace reads up to {SCHEMA_VERSION}: upgrade it")
    return _checked({**raw, "schema_version": SCHEMA_VERSION}, where)


def published(playbook: Playbook) -> dict[str, Any]:
    """`{"version": "1.0", "entries": [...]}` with published fields and unknown ones; history stays behind."""
    entries = [
        {
            "content": entry.text,
            "section": entry.section,
            "entry_id": entry.id,
            "helpful_count": entry.helpful,
            "harmful_count": entry.harmful,
            **(entry.model_extra or {}),
        }
        for entry in playbook.entries
    ]
    return {"version": PUBLISHED_VERSION, "entries": entries}


def _from_published(raw: dict[str, Any], where: Path | str) -> Playbook:
    version = raw.get("version", PUBLISHED_VERSION)
    if version != PUBLISHED_VERSION:
        raise DataError(where, f"version {version!r} of a published playbook; {PUBLISHED_VERSION!r} is known")
    named: list[dict[str, Any]] = []
    for n, row in enumerate(raw["entries"]):
        if not isinstance(row, dict):
            raise DataError(where, f"entry {n} is no object")
        if "content" not in row:
            raise DataError(where, f"entry {n} has no content")
        fields: dict[str, Any] = row
        named.append({_PUBLISHED_NAMES.get(key, key): value for key, value in fields.items() if value is not None})
    rest = {key: value for key, value in raw.items() if key not in ("version", "entries")}
    return _checked({**rest, "schema_version": SCHEMA_VERSION, "entries": with_ids(named)}, where)


def with_ids(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with what the published form may leave out: an id, counted on from those that are there, and a section."""
    number = next_number(row.get("id") for row in rows)
    full = []
    for row in rows:
        if not row.get("id"):
            row, number = {**row, "id": f"e{number}"}, number + 1
        full.append({"section": OTHERS, **row})
    return full


def next_number(ids: Iterable[object]) -> int:
    """One more than the largest of the ids that look like ours, so that none is given twice."""
    found = (_NUMBER.fullmatch(id) for id in ids if isinstance(id, str))
    return max((int(match[1]) for match in found if match), default=0) + 1


def _checked(raw: dict[str, Any], where: Path | str) -> Playbook:
    try:
        playbook = Playbook.model_validate(raw)
    except ValidationError as error:
        place, message = column_errors(error)[0]
        raise DataError(where, message, column=place) from None
    used = next_number(id for entry in playbook.entries for id in _ids(entry))
    return playbook if playbook.next_id >= used else playbook.model_copy(update={"next_id": used})


def _ids(entry: Entry) -> list[str]:
    """Its own, and those of entries it came from, which are taken as well."""
    return [entry.id, *(former.entry_id for former in entry.history if former.entry_id)]
