"""A folder that a reflection agent may read: exactly the runs it was given, and nothing of how they went."""

from __future__ import annotations

import json
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.episodes.render import render
from cleartrace.episodes.types import Episode, Outcome, Trajectory
from cleartrace.trajectory.record import written

OUTCOMES_FILE = "outcomes.json"
_STEP_FIELDS = {"kind", "text", "name", "arguments", "call_id", "is_error"}


@dataclass(frozen=True)
class FileView:
    """A read-only folder. `runs`: name of each run's folder in it to its place among the episodes given."""

    folder: Path
    runs: dict[str, int]


@contextmanager
def file_view(
    episodes: Sequence[Episode], parent: Path | None = None, *, outcomes: bool = False, chars: int | None = None
) -> Iterator[FileView]:
    """Write `run-1/trajectory.jsonl`, `run-1/view.md`, `run-2/...` for the time of the block.

    The names follow the order given and say nothing, as an id is made from the outcome too. Written are only fields
    known to hold what an agent saw or did, whatever else an importer kept (A4).

    Args:
        parent: where the folder is made; None takes the system's temporary folder.
        outcomes: also writes `outcomes.json` with the score, the feedback and the failure of each run.
        chars: cuts each step's text in `view.md`.
    """
    folder = Path(tempfile.mkdtemp(prefix="episodes-", dir=parent))
    try:
        names = [f"run-{number}" for number in range(1, len(episodes) + 1)]
        for name, episode in zip(names, episodes, strict=True):
            _write_run(folder / name, episode.trajectory, chars)
        if outcomes:
            judged = {name: _judged(episode.outcome) for name, episode in zip(names, episodes, strict=True)}
            _write(folder / OUTCOMES_FILE, json.dumps(judged, ensure_ascii=False, indent=1))
        folder.chmod(0o555)
        yield FileView(folder, {name: number for number, name in enumerate(names)})
    finally:
        _remove(folder)


def empty_folder(folder: Path) -> Path:
    """A folder for views, without those that a killed process left in it."""
    if folder.is_dir():
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(stat.S_IRWXU)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def seen_lines(trajectory: Trajectory) -> list[dict[str, Any]]:
    """What `trajectory.jsonl` holds in a view: a line on the run, then a line for each step."""
    head = {
        "environment": trajectory.environment,
        "task_id": trajectory.task_id,
        "context": trajectory.context.text,
        "stop": trajectory.stop.value,
        "turns": trajectory.turns,
        "output": trajectory.output,
    }
    return [head, *(step.model_dump(mode="json", include=_STEP_FIELDS) for step in trajectory.steps)]


def _write_run(folder: Path, trajectory: Trajectory, chars: int | None) -> None:
    folder.mkdir()
    lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in seen_lines(trajectory))
    _write(folder / "trajectory.jsonl", lines)
    _write(folder / "view.md", render(trajectory, chars))
    folder.chmod(0o555)


def _judged(outcome: Outcome) -> dict[str, Any]:
    failure = outcome.failure
    return {
        "score": outcome.score,
        "feedback": outcome.feedback,
        "failure": f"{failure.kind.value}: {failure.message}" if failure else "",
    }


def _write(path: Path, text: str) -> None:
    path.write_text(written(text) or "", encoding="utf-8")
    path.chmod(0o444)


def _remove(folder: Path) -> None:
    for path in (folder, *folder.glob("run-*")):
        path.chmod(stat.S_IRWXU)
    shutil.rmtree(folder)
