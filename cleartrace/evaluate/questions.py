"""The rows of task files as questions, checked at the door."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cleartrace.data.errors import DataError
from cleartrace.data.files import open_parquet, read_rows, require_columns
from cleartrace.data.identity import mapping_of, sample_id_of_row

REQUIRED = ("prompt", "data_source", "reward_model")


@dataclass(frozen=True)
class Question:
    """One row. `row` counts from 0 over all files in their given order.

    `fields` are what an agent loop and a grader read: raw_prompt, data_source, reward_model, extra_info.
    `repeats` are further rows of the same sample.
    """

    row: int
    sample_id: str
    question_id: str
    data_source: str
    uid: str
    fields: Mapping[str, Any]
    repeats: tuple[int, ...] = ()


def read_questions(files: Sequence[Path], limit: int | None = None) -> list[Question]:
    """Questions in row order, at most `limit`; rows with the sample id of an earlier one are folded into it.

    A file written for both evaluation arms holds each question twice, and is read here as holding it once.

    Errors: `DataError` for a file that is missing or no parquet, a missing column, and a cell that cannot be used.
    """
    found: dict[str, Question] = {}
    for question in _questions(files):
        first = found.get(question.sample_id)
        if first is not None:
            found[question.sample_id] = _fold(first, question)
        elif limit is None or len(found) < limit:
            found[question.sample_id] = question
    if not found:
        raise DataError(", ".join(map(str, files)), "there is no row")
    return list(found.values())


def _fold(first: Question, again: Question) -> Question:
    for name in ("raw_prompt", "reward_model"):
        if first.fields[name] != again.fields[name]:
            message = f"rows {first.row} and {again.row} have this id and differ in {name}"
            raise DataError(f"sample {first.sample_id}", message, again.row, "extra_info.sample_id")
    return replace(first, repeats=(*first.repeats, again.row))


def _questions(files: Sequence[Path]) -> Iterator[Question]:
    start = 0
    for path in files:
        table = open_parquet(path)
        require_columns(path, table.schema_arrow.names, REQUIRED)
        for index, row in read_rows(path):
            yield _question(path, index, row, start + index)
        start += table.metadata.num_rows


def _question(path: Path, index: int, row: Mapping[str, Any], number: int) -> Question:
    prompt = row["prompt"]
    if not isinstance(prompt, list) or not prompt or not all(isinstance(m, dict) and m.get("role") for m in prompt):
        message = f"expected chat messages with role and content, got {str(prompt)[:80]!r}"
        raise DataError(path, message, index, "prompt")
    reward = mapping_of(row["reward_model"])
    if reward.get("ground_truth") in (None, ""):
        raise DataError(path, "ground_truth is empty, so no answer can be graded", index, "reward_model")
    source = str(row["data_source"] or "")
    if not source:
        raise DataError(path, "the grader is chosen by it, and it is empty", index, "data_source")
    info = {name: value for name, value in mapping_of(row.get("extra_info")).items() if value is not None}
    sample_id = sample_id_of_row(row)
    asked = (info.get("question_id"), row.get("question_id"), info.get("index"))
    question_id = next((str(value) for value in asked if value is not None), "")
    fields = {
        "raw_prompt": [{"role": str(m["role"]), "content": str(m.get("content") or "")} for m in prompt],
        "data_source": source,
        "reward_model": reward,
        "extra_info": {**info, "sample_id": sample_id, "question_id": question_id},
    }
    return Question(number, sample_id, question_id, source, str(row.get("uid") or number), fields)
