"""`cleartrace data validate`: a judge where one is needed, a progress bar, a table, an exit status."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cleartrace.data.errors import DataError
from cleartrace.data.files import open_parquet, read_rows, write_json_lines
from cleartrace.data.findings import Severity
from cleartrace.data.grade_checks import Grader, Verdict, asks_for_program, reward_grader
from cleartrace.data.lengths import load_limit
from cleartrace.data.tables import print_reports
from cleartrace.data.validate import Checks, rows_to_read, validate
from cleartrace.rewards.judge import pooled_judge

TOKEN_VARIABLE = "CODE_JUDGE_TOKEN"


def run(
    files: Sequence[Path],
    tokenizer: Path | None,
    max_prompt_tokens: int,
    tools: bool,
    grade: bool,
    judge_url: str,
    first_rows: int,
    output: Path | None,
) -> int:
    """Validate and print; returns the exit status, 1 when a file has errors.

    Errors: `DataError` for what cannot be read, or when no judge can be started.
    """
    try:
        limit = load_limit(tokenizer, max_prompt_tokens, tools) if tokenizer else None
    except ValueError as error:
        raise DataError(str(tokenizer), str(error)) from None
    total = rows_to_read(files, first_rows)
    with _grader(files, judge_url) if grade else _nothing() as grader, _progress(total) as advance:
        reports = validate(files, Checks(grader, limit, first_rows), advance)
    print_reports(reports, graded=grade, counted=limit is not None)
    if output is not None:
        n = write_json_lines(output, (finding.as_dict() for report in reports for finding in report.findings))
        Console().print(f"{n:,} findings in {output}", soft_wrap=True)
    return 1 if any(report.number(Severity.ERROR) for report in reports) else 0


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=total)
        yield lambda rows: bar.advance(task, rows)


@contextmanager
def _grader(files: Sequence[Path], url: str) -> Iterator[Grader]:
    """The reward of training; programs go to the judge at `url`, or to one that is started for these files."""
    if url:
        yield _through(url, os.environ.get(TOKEN_VARIABLE))
        return
    if not any(_has_programs(path) for path in files):
        yield reward_grader(None)
        return
    from code_judge.client import JudgeUnavailable
    from code_judge.embedded import EmbeddedJudge

    with tempfile.TemporaryDirectory(prefix="cleartrace-validate-") as folder:
        try:
            with EmbeddedJudge(log_dir=folder, workers=os.cpu_count() or 1) as judge:
                yield _through(judge.url, judge.token)
        except JudgeUnavailable as error:
            message = f"{error}; start `code-judge serve` and give its address (--judge-url)"
            raise DataError("the judge that programs need did not start", message) from None


def _through(url: str, token: str | None) -> Grader:
    async def grade(source: str, response: str, truth: Any, info: Any) -> Verdict:
        # The client belongs to the event loop that is running by now.
        return await reward_grader(pooled_judge(url, token))(source, response, truth, info)

    return grade


def _has_programs(path: Path) -> bool:
    if not {"data_source", "reward_model"} <= set(open_parquet(path).schema_arrow.names):
        return False
    rows = read_rows(path, ["data_source", "reward_model"])
    return any(isinstance(row["reward_model"], dict) and asks_for_program(row) for _, row in rows)
