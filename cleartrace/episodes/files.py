"""One run as three files. `trajectory.jsonl` and `view.md` are what the agent saw and did; `outcome.json` is apart."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from cleartrace.episodes.migrate import OUTCOME, TRAJECTORY, SchemaError, upgrade
from cleartrace.episodes.render import render
from cleartrace.episodes.types import Episode, Outcome, Trajectory
from cleartrace.trajectory.record import written

TRAJECTORY_FILE = "trajectory.jsonl"
VIEW_FILE = "view.md"
OUTCOME_FILE = "outcome.json"
PART = ".part"
MAX_NAME = 100
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ASCII = json.JSONEncoder(separators=(",", ":"))


class StoreError(RuntimeError):
    """A store, or a run in it, cannot be read or written; the message says which and what to do."""


def folder_name(text: str) -> str:
    """`text` as one safe name of a folder, the same for the same text and different for different ones."""
    name = quote(written(text) or "", safe="+=@,() ")
    if text and not text.startswith(".") and len(name) <= MAX_NAME and written(text) == text:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{name.lstrip('.')[:MAX_NAME]}~{digest}"


def raw_id(trajectory: dict[str, Any], outcome: dict[str, Any]) -> str:
    """`Episode.id` from the plain values, as they were written: later fields with defaults do not change it."""
    value = {"outcome": outcome, "trajectory": trajectory}
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def write_run(folder: Path, trajectory: dict[str, Any], outcome: dict[str, Any], view: str) -> bool:
    """Make `folder` with the three files in one step. False when it is there already: same name, same content."""
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}{PART}")
    draft.mkdir(parents=True)
    try:
        header = {key: value for key, value in trajectory.items() if key != "steps"}
        lines = [_line(header), *(_line(step) for step in trajectory.get("steps", ()))]
        (draft / TRAJECTORY_FILE).write_text("".join(lines), encoding="utf-8")
        (draft / VIEW_FILE).write_text(view, encoding="utf-8")
        (draft / OUTCOME_FILE).write_text(_line(outcome), encoding="utf-8")
        os.rename(draft, folder)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if folder.is_dir():
            return False
        raise
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return True


def read_run(folder: Path) -> tuple[str, Episode]:
    """The id under which a run was written, and the run in today's shape.

    Raises:
        StoreError: files are missing or damaged, or of a later schema version.
    """
    try:
        lines = (folder / TRAJECTORY_FILE).read_text(encoding="utf-8").split("\n")
        trajectory, *steps = [json.loads(line) for line in lines if line]
        trajectory["steps"] = steps
        outcome = json.loads((folder / OUTCOME_FILE).read_text(encoding="utf-8"))
        episode = Episode(
            trajectory=Trajectory.model_validate(upgrade(trajectory, TRAJECTORY)),
            outcome=Outcome.model_validate(upgrade(outcome, OUTCOME)),
        )
        return raw_id(trajectory, outcome), episode
    except (SchemaError, ValidationError, OSError, ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"{folder} is not a readable run ({error}); remove the folder to go on without it") from None


def dump(episode: Episode) -> tuple[str, dict[str, Any], dict[str, Any], str]:
    """Id, trajectory and outcome as plain values, and the text of `view.md`."""
    value = episode.model_dump(mode="json")
    trajectory, outcome = value["trajectory"], value["outcome"]
    return raw_id(trajectory, outcome), trajectory, outcome, written(render(episode.trajectory)) or ""


def _line(value: Any) -> str:
    """One line of JSON. A lone surrogate, which UTF-8 cannot hold, is escaped."""
    text = _JSON.encode(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = _ASCII.encode(value)
    return text + "\n"
