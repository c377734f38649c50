"""Check files row by row before a run spends hours on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from cleartrace.data.files import open_parquet, read_rows
from cleartrace.data.findings import FileReport, Kind
from cleartrace.data.grade_checks import Grader, asks_for_program, check_grades
from cleartrace.data.identity import sample_id_of_row
from cleartrace.data.lengths import PromptLimit
from cleartrace.data.row_checks import answer_key, leak, looks_like_a_list, question_key, schema_errors
from cleartrace.rewards.dispatch import GraderKind, grader_of

COLUMNS = ("data_source", "prompt", "reward_model")
WINDOW = 64
"""Rows that are graded at a time."""

Progress = Callable[[int], None]


@dataclass
class _Seen:
    """Where samples and questions were met first."""

    samples: dict[tuple[str, str], int] = field(default_factory=dict)
    questions: dict[str, tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Checks:
    """`grade`: None grades nothing. `limit`: None counts no tokens. `first_rows`: 0 reads all."""

    grade: Grader | None
    limit: PromptLimit | None = None
    first_rows: int = 0


def validate(files: Sequence[Path], checks: Checks, progress: Progress = lambda _: None) -> list[FileReport]:
    """One report per file; `progress` is called with the number of rows just done.

    Errors: `DataError` for a file that cannot be read at all.
    """
    return asyncio.run(_validate(files, checks, progress))


def rows_to_read(files: Sequence[Path], first_rows: int = 0) -> int:
    """How many rows `validate` will read."""
    totals = [open_parquet(path).metadata.num_rows for path in files]
    return sum(min(total, first_rows) if first_rows else total for total in totals)


async def _validate(files: Sequence[Path], checks: Checks, progress: Progress) -> list[FileReport]:
    questions: dict[str, tuple[str, int]] = {}
    return [await _validate_file(path, checks, progress, _Seen(questions=questions)) for path in files]


async def _validate_file(path: Path, checks: Checks, progress: Progress, seen: _Seen) -> FileReport:
    report = FileReport(str(path))
    names = open_parquet(path).schema_arrow.names
    if missing := [name for name in COLUMNS if name not in names]:
        message = f"not there; the file has {', '.join(names)}. A raw file has to go through `cleartrace data prepare`"
        report.add(Kind.SCHEMA, message, column=", ".join(missing))
        return report
    rows = islice(read_rows(path), checks.first_rows or None)
    while window := list(islice(rows, WINDOW)):
        sound = list(_sound(window, checks, report, seen))
        await asyncio.gather(*(check_grades(number, row, checks.grade, report) for number, row in sound))
        report.rows += len(window)
        progress(len(window))
    if not report.rows:
        report.add(Kind.SCHEMA, "there is no row in it")
    report.findings.sort(key=lambda finding: -1 if finding.row is None else finding.row)
    return report


def _sound(
    window: Sequence[tuple[int, dict[str, Any]]], checks: Checks, report: FileReport, seen: _Seen
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows that can be graded; what is wrong with the others, and what is odd about these, goes to the report."""
    for number, row in window:
        errors = schema_errors(row)
        for column, message in errors:
            report.add(Kind.SCHEMA, message, number, column)
        if errors:
            continue
        _check_repeats(number, row, report, seen)
        _check_key(number, row, report)
        if checks.limit is not None and (tokens := checks.limit.tokens(row)) > checks.limit.max_tokens:
            report.add(Kind.OVERLONG, f"{tokens} tokens, of {checks.limit.max_tokens}", number, "prompt")
        yield number, row


def _check_repeats(number: int, row: dict[str, Any], report: FileReport, seen: _Seen) -> None:
    sample = sample_id_of_row(row), str(row.get("agent_name"))
    first = seen.samples.setdefault(sample, number)
    if first != number:
        report.add(Kind.DUPLICATE, f"sample {sample[0]} is in row {first} already", number)
    file, other = seen.questions.setdefault(question_key(row), (report.file, number))
    if file != report.file:
        report.add(Kind.OTHER_FILE, f"row {other} of {file} asks the same", number, "prompt")


IN_THE_PROMPT = (GraderKind.CHOICE, GraderKind.SELECTION, GraderKind.PHRASE)
"""Kinds of tasks whose prompt holds the answer: as an option, or as a part of the text that is asked about."""


def _check_key(number: int, row: dict[str, Any], report: FileReport) -> None:
    if asks_for_program(row):
        return
    key = answer_key(row)
    if looks_like_a_list(key):
        report.add(Kind.ODD_KEY, f"{key[:80]} equals no boxed answer", number, "reward_model.ground_truth")
    if grader_of(str(row["data_source"])) not in IN_THE_PROMPT and (shown := leak(row, key)):
        report.add(Kind.LEAK, shown, number, "prompt")
