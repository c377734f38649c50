"""Replay folders of the published CLEAR: `training_data/<environment>/replay/<run>/<task>/`.

What stands inside a task's folder is not documented. Read are our own three files, and one log of messages; any other
folder is refused by name, with what was found in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cleartrace.data.errors import DataError
from cleartrace.data.files import read_json_lines
from cleartrace.episodes.files import OUTCOME_FILE, TRAJECTORY_FILE, StoreError, read_run
from cleartrace.episodes.importers.common import Found, Refused, Seeds, Source, Unreadable, read_json
from cleartrace.episodes.importers.messages import episode_of
from cleartrace.episodes.types import Episode


def read(source: Source) -> Found:
    """Runs in the order of their names; the place of a run's folder is the seed of the runs in it."""
    runs = _folders(source.path)
    environment = source.environment or _environment(source.path)
    for seed, run in enumerate(runs):
        for task in _folders(run):
            try:
                yield _episode(task, environment, source.agent or "clear", seed)
            except (Unreadable, StoreError) as error:
                yield Refused(str(task), str(error))


def _episode(task: Path, environment: str, agent: str, seed: int) -> Episode:
    if (task / TRAJECTORY_FILE).is_file() and (task / OUTCOME_FILE).is_file():
        return read_run(task)[1]
    logs = [row for path in sorted(task.iterdir()) if (row := _log(path)) is not None]
    if len(logs) != 1:
        names = ", ".join(sorted(path.name for path in task.iterdir())[:8]) or "nothing"
        found = f"{len(logs)} logs of messages" if logs else "no log of messages"
        raise Unreadable(f"holds {found} (there is: {names}); one is needed, or {TRAJECTORY_FILE} and {OUTCOME_FILE}")
    row = {**logs[0], "environment": environment, "task_id": task.name, "seed": seed}
    return episode_of(row, Source(task, environment, agent), Seeds())


def _log(path: Path) -> dict[str, Any] | None:
    """A file as one conversation: an object with `messages`, a list of messages, or a message a line."""
    if path.suffix == ".json":
        try:
            value = read_json(path)
        except Unreadable:
            return None
        rows = value if isinstance(value, list) else [value]
    elif path.suffix == ".jsonl":
        try:
            rows = [row for _, row in read_json_lines(path)]
        except DataError:
            return None
    else:
        return None
    if len(rows) == 1 and isinstance(rows[0], dict) and isinstance(rows[0].get("messages"), list):
        return rows[0]
    if rows and all(isinstance(row, dict) and "role" in row and "content" in row for row in rows):
        return {"messages": rows}
    return None


def _folders(path: Path) -> list[Path]:
    found: Iterator[Path] = path.iterdir() if path.is_dir() else iter(())
    return sorted((one for one in found if one.is_dir()), key=lambda one: one.name)


def _environment(path: Path) -> str:
    path = path.resolve()
    return path.parent.name if path.name == "replay" else path.name
