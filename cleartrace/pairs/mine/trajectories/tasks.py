"""What a task table says about an instance: commit, tests, issue, bug."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.pairs.mine.trajectories.read import Trajectory, rows


@dataclass(frozen=True)
class Task:
    """`tests`: those that fail before the fix and pass after it; empty where nothing is known. `patch`: of the bug."""

    commit: str = ""
    tests: tuple[str, ...] = ()
    issue: str = ""
    patch: str = ""


UNKNOWN = Task()


def _tests(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = json.loads(value) if value.strip().startswith("[") else [value] if value.strip() else []
    return tuple(sorted(str(name) for name in value or ()))


def read_tasks(paths: Iterable[Path]) -> Iterator[tuple[str, Task]]:
    """(instance id, task) of files with the columns of SWE-smith or SWE-bench (`.jsonl`, `.parquet`)."""
    for path in paths:
        for located in rows(path):
            row = located.row
            yield (
                str(row.get("instance_id")),
                Task(
                    commit=row.get("base_commit") or "",
                    tests=_tests(row.get("FAIL_TO_PASS")),
                    issue=row.get("problem_statement") or "",
                    patch=row.get("patch") or "",
                ),
            )


def issue_of(run: Trajectory, task: Task) -> str:
    """The table's issue, else the first user message's part between `<pr_description>` tags, else all of it."""
    if task.issue:
        return task.issue
    first = next((message.content for message in run.messages if message.role == "user"), "")
    inner = first.partition("<pr_description>")[2].partition("</pr_description>")[0]
    return inner or first
