"""Tasks and their answers, read for the leak guard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cleartrace.context.playbook.leak import Secret, SecretKind
from cleartrace.data.errors import DataError
from cleartrace.data.files import read_json_lines


def load_secrets(path: Path) -> list[Secret]:
    """JSON lines, a task each: `input`, and if there are `id`, `group`, `answer` (a text, a number or a list of them).

    Errors: `DataError` that names the line.
    """
    secrets: list[Secret] = []
    for number, row in read_json_lines(path):
        where = f"{path}, line {number}"
        task, id, group = row.get("input"), str(row.get("id") or f"line {number}"), str(row.get("group") or "")
        if not isinstance(task, str):
            raise DataError(where, 'no text under "input"')
        secrets.append(Secret(text=task, kind=SecretKind.TASK, task_id=id, group=group))
        secrets += [Secret(text=one, task_id=id, group=group) for one in _answers(row.get("answer"), where)]
    return secrets


def _answers(value: Any, where: str) -> Iterator[str]:
    for one in value if isinstance(value, list) else [] if value is None else [value]:
        if not isinstance(one, str | int | float):
            raise DataError(where, "an answer is a text or a number")
        yield str(one)
