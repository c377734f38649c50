"""What the package's data folder says about tasks, read from its own files and without starting it.

`data/datasets/<split>.txt` lists task ids, one a line; `data/tasks/<id>/specs.json` holds the instruction. An id is
`<scenario>_<number>`, and the numbers 1 to 3 are variants of one scenario.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cleartrace.episodes.types import Task

SPLITS = ("train", "dev", "test_normal", "test_challenge")


def read_tasks(root: Path) -> list[Task]:
    """The tasks of every split that the data has. Raises ValueError that says how to get it."""
    folder = root / "data" / "datasets"
    found = [split for split in SPLITS if (folder / f"{split}.txt").is_file()]
    if not found:
        raise ValueError(f"there is no AppWorld data in {root}: run `appworld download data` in that folder")
    return [_task(root, task_id, split) for split in found for task_id in _ids(folder / f"{split}.txt")]


def solution(root: Path, task_id: str) -> str | None:
    """The package's own solution as code for the REPL; None where the data holds none, as for the test splits."""
    path = root / "data" / "tasks" / task_id / "ground_truth" / "compiled_solution.py"
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    code = "\n".join(line for line in lines if not line.startswith("# Canary String"))
    return f"{code}\nsolution(apis, requester)"


def _ids(path: Path) -> Sequence[str]:
    """A line may carry a tag after a colon, which is not part of the id."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split(":")[0].strip() for line in lines if line.strip()]


def _task(root: Path, task_id: str, split: str) -> Task:
    path = root / "data" / "tasks" / task_id / "specs.json"
    try:
        specs: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        instruction = specs["instruction"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is not the specification of an AppWorld task: {error!r}") from None
    scenario = task_id.rpartition("_")[0] or task_id
    metadata = {"datetime": str(specs.get("datetime", ""))}
    return Task(environment="appworld", id=task_id, input=instruction, split=split, group=scenario, metadata=metadata)
