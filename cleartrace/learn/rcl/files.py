"""Records as JSON files, written whole (R27)."""

from __future__ import annotations

import json
from pathlib import Path

from cleartrace.data.files import whole_file
from cleartrace.episodes.types import Record


def to_json(record: Record, indent: int | None = None) -> str:
    """JSON in the order of the fields. Half characters, which UTF-8 cannot hold, are escaped."""
    values = record.model_dump(mode="json")
    text = json.dumps(values, ensure_ascii=False, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(values, indent=indent)
    return text


def write_record(path: Path, record: Record) -> None:
    """The file is there whole, or as it was."""
    with whole_file(path) as partial:
        partial.write_text(to_json(record, indent=1) + "\n", encoding="utf-8")
