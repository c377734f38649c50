"""Task records of SWE-Gym, SWE-bench and SWE-smith, and our local tasks, as rows of veRL's RLHF data set.

The hidden part of a task stands in `reward_model.ground_truth`, where the agent loop reads it; nothing of it is in the
prompt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cleartrace.data.errors import DataError
from cleartrace.data.files import read_rows, whole_file
from cleartrace.data.rows import sample_id_of
from cleartrace.tools.shell.mutation_rows import from_mutation
from cleartrace.tools.shell.protocol import SYSTEM_PROMPT, TASK_PROMPT
from cleartrace.tools.shell.task import HiddenPart, ShellTask

AGENT_NAME = "mini_swe_agent"
ABILITY = "software"


class Source(str, Enum):
    """Where records come from: they name images in different ways."""

    SWE_GYM = "swe_gym"
    SWE_BENCH = "swe_bench"
    SWE_SMITH = "swe_smith"
    MUTATION = "mutation"
    """Our own generated tasks, for the local runtime."""


@dataclass(frozen=True)
class WholeTask:
    """A task with its hidden part."""

    task: ShellTask
    hidden: HiddenPart
    source: str


def image_of(instance_id: str, source: Source) -> str:
    """Image of a SWE-Gym or SWE-bench instance. An image's name has no double underscore.

    Example:
        >>> image_of("getmoto__moto-5406", Source.SWE_GYM)
        'docker.io/xingyaoww/sweb.eval.x86_64.getmoto_s_moto-5406:latest'
        >>> image_of("django__django-11099", Source.SWE_BENCH)
        'docker.io/swebench/sweb.eval.x86_64.django_1776_django-11099:latest'
    """
    owner, mark = {Source.SWE_GYM: ("xingyaoww", "_s_"), Source.SWE_BENCH: ("swebench", "_1776_")}[source]
    return f"docker.io/{owner}/sweb.eval.x86_64.{instance_id.replace('__', mark)}:latest".lower()


def from_record(record: Mapping[str, Any], source: Source) -> WholeTask:
    """A task from a published record. Raises ValueError that names the instance and what it lacks."""
    name = str(record.get("instance_id") or "a record without instance_id")
    needed = ["instance_id", "repo", "problem_statement", "patch", "FAIL_TO_PASS", "PASS_TO_PASS"]
    needed += ["image_name"] if source is Source.SWE_SMITH else ["base_commit", "test_patch"]
    if missing := [key for key in needed if record.get(key) is None]:
        raise ValueError(f"{name}: no {', '.join(missing)}; is this a {source.value} file?")
    failing, passing = _list(record["FAIL_TO_PASS"]), _list(record["PASS_TO_PASS"])
    if source is Source.SWE_SMITH:
        # The published patch makes the bug, and the repository has the tests already.
        removed = tuple(sorted({test.partition("::")[0] for test in failing}))
        hidden = HiddenPart(setup_patch=record["patch"], removed=removed, fail_to_pass=failing, pass_to_pass=passing)
        image = str(record["image_name"])
    else:
        hidden = HiddenPart(
            gold_patch=record["patch"],
            test_patch=record["test_patch"],
            fail_to_pass=failing,
            pass_to_pass=passing,
        )
        image = str(record.get("image_name") or image_of(name, source))
    task = ShellTask(
        instance_id=name,
        repo=str(record["repo"]),
        base_commit=str(record.get("base_commit") or ""),
        problem_statement=str(record["problem_statement"]),
        image=image,
    )
    return WholeTask(task, hidden, source.value)


def _list(value: Any) -> tuple[str, ...]:
    """Test ids: a list, or its JSON text as SWE-bench has it."""
    return tuple(str(item) for item in (json.loads(value) if isinstance(value, str) else value))


def read_tasks(path: Path, source: Source, on_skip: Callable[[str], None] | None = None) -> Iterator[WholeTask]:
    """Tasks of a parquet, JSON or JSON lines file.

    Args:
        on_skip: told why a row is left out; without it such a row is an error.

    Errors: `DataError` with the row.
    """
    for number, record in _records(path):
        try:
            if source is Source.MUTATION:
                yield WholeTask(*from_mutation(record, path.parent), source.value)
            else:
                yield from_record(record, source)
        except ValueError as error:  # pydantic's too
            if on_skip is None:
                raise DataError(path, str(error), number) from error
            on_skip(str(error))


def _records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if path.suffix == ".parquet":
        yield from read_rows(path)
        return
    try:
        text = path.read_text(encoding="utf-8")
        rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(x) for x in text.splitlines() if x]
    except (OSError, ValueError) as error:
        raise DataError(path, f"not readable as JSON or JSON lines ({error})") from error
    yield from enumerate(rows)


def prompt_of(task: ShellTask) -> list[dict[str, str]]:
    """The messages a rollout starts from."""
    problem = TASK_PROMPT.format(problem=task.problem_statement.strip())
    return [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": problem}]


def row_of(whole: WholeTask, index: int, split: str) -> dict[str, Any]:
    """The columns of veRL's RLHF data set. Nested parts are JSON text: their fields differ from row to row."""
    task, source = whole.task, f"swe/{whole.source}"
    return {
        "data_source": source,
        "prompt": prompt_of(task),
        "ability": ABILITY,
        "reward_model": {"style": "rule", "ground_truth": whole.hidden.model_dump_json()},
        "extra_info": {
            "sample_id": sample_id_of(source, task.problem_statement, task.instance_id),
            "question": task.problem_statement,
            "question_id": task.instance_id,
            "task": task.model_dump_json(),
            "split": split,
            "index": index,
        },
        "agent_name": AGENT_NAME,
    }


def write_task_rows(tasks: Iterable[WholeTask], path: Path, split: str = "train") -> int:
    """Write a parquet file whole or not at all; returns the number of rows. Errors: `DataError` when there is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [row_of(whole, i, split) for i, whole in enumerate(tasks)]
    if not rows:
        raise DataError(path, "there is no task to write")
    with whole_file(path) as partial:
        pq.write_table(pa.Table.from_pylist(rows), partial)
    return len(rows)


def task_of(row: Mapping[str, Any]) -> WholeTask:
    """The task of a row that `row_of` made. Raises ValueError that says what is wrong with the row."""
    info, reward = row.get("extra_info") or {}, row.get("reward_model") or {}
    try:
        task = ShellTask.model_validate_json(info["task"])
        hidden = HiddenPart.model_validate_json(reward["ground_truth"])
    except (KeyError, ValidationError) as error:
        raise ValueError(
            f"row {info.get('question_id') or info.get('index')} of {row.get('data_source')!r} is no task for "
            f"{AGENT_NAME}: {error}. Write such rows with `python -m cleartrace.tools.shell rows`."
        ) from error
    return WholeTask(task, hidden, str(row.get("data_source", "")).removeprefix("swe/"))
