"""Programs of an evaluation as the input file of LiveCodeBench's custom evaluator (scenario code generation).

The evaluator sorts the benchmark and our objects by `question_id`, pairs them by position, and checks no more than the
length. So a question that is missing, doubled or short of programs must not get as far as there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from cleartrace.data.files import open_parquet, read_rows, write_json
from cleartrace.data.identity import mapping_of
from cleartrace.evaluate.outcome import RolloutOutcome
from cleartrace.evaluate.store import read_outcomes
from cleartrace.rewards.code.extract import last_program

MAX_LISTED = 5


class ExportError(ValueError):
    """The rollouts do not fit the benchmark; the message names the questions."""


@dataclass(frozen=True)
class Window:
    """First and last contest date of the questions that count, as the evaluator's --start_date and --end_date."""

    start: date | None = None
    end: date | None = None

    @classmethod
    def parse(cls, start: str | None, end: str | None) -> Window:
        """Errors: `ExportError` for what is no date."""
        try:
            return cls(*(date.fromisoformat(text) if text else None for text in (start, end)))
        except ValueError as error:
            raise ExportError(f"dates are written YYYY-MM-DD: {error}") from None

    def __bool__(self) -> bool:
        return self.start is not None or self.end is not None

    def holds(self, day: date) -> bool:
        return (self.start is None or self.start <= day) and (self.end is None or day <= self.end)


def export(rollouts: Path, benchmark: Path, out: Path, *, arm: str, n: int, window: Window = Window()) -> int:
    """Write the file; returns its number of questions.

    Errors: `DataError` for an unreadable benchmark, `StoreError` for unreadable rollouts, `ExportError` where they do
    not fit each other.
    """
    if not rollouts.is_file():
        raise ExportError(f"there is no file {rollouts}; it is written by `cleartrace eval`")
    unique = {outcome.key: outcome for outcome in read_outcomes(rollouts)}
    outputs = custom_outputs(unique.values(), question_ids(benchmark, window), arm=arm, n=n)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, outputs)
    return len(outputs)


def question_ids(benchmark: Path, window: Window = Window()) -> list[str]:
    """Ids of the benchmark in the evaluator's order. A file with both evaluation arms holds each id once per arm.

    Errors: `ExportError` for a row without an id, an id that is there twice, and a window over rows without a date.
    """
    seen: set[tuple[str, str]] = set()
    open_parquet(benchmark)
    for number, row in read_rows(benchmark):
        info = mapping_of(row.get("extra_info"))
        where = f"{benchmark}, row {number}"
        identifier = str(row.get("question_id") or info.get("question_id") or "")
        if not identifier:
            raise ExportError(f"{where}: no question_id, neither as a column nor in extra_info")
        if window and not window.holds(_contest_date(row, info, where)):
            continue
        key = (identifier, str(row.get("agent_name") or ""))
        if key in seen:
            raise ExportError(f"{where}: question_id {identifier!r} is there twice")
        seen.add(key)
    if not seen:
        raise ExportError(f"{benchmark} has no question" + (" in the window" if window else ""))
    return sorted({identifier for identifier, _ in seen})


def custom_outputs(
    outcomes: Iterable[RolloutOutcome], wanted: list[str], *, arm: str, n: int
) -> list[dict[str, str | list[str]]]:
    """One object per wanted question, sorted by id, each with exactly n programs in the order of the rollouts.

    A rollout without a program gives an empty one, which fails every test. Questions that are not wanted are left out.

    Errors: `ExportError` for missing questions, questions with fewer than n rollouts, and an id of several samples.
    """
    rollouts: dict[str, dict[int, RolloutOutcome]] = {identifier: {} for identifier in wanted}
    samples: dict[str, str] = {}
    for outcome in outcomes:
        mine = rollouts.get(outcome.question_id)
        if mine is None or outcome.arm != arm:
            continue
        if samples.setdefault(outcome.question_id, outcome.sample_id) != outcome.sample_id:
            raise ExportError(f"question_id {outcome.question_id!r} stands for two samples in the rollouts")
        mine[outcome.rollout] = outcome
    _require("have no rollout", [q for q in wanted if not rollouts[q]], arm)
    _require(f"have fewer than {n} rollouts", [q for q in wanted if len(rollouts[q]) < n], arm)
    return [{"question_id": q, "code_list": _programs(rollouts[q], n)} for q in wanted]


def _programs(rollouts: Mapping[int, RolloutOutcome], n: int) -> list[str]:
    return [last_program(rollouts[index].answer) or "" for index in sorted(rollouts)[:n]]


def _require(what: str, short: list[str], arm: str) -> None:
    if not short:
        return
    listed = ", ".join(short[:MAX_LISTED]) + (", ..." if len(short) > MAX_LISTED else "")
    raise ExportError(
        f"{len(short)} questions of the benchmark {what} in arm {arm!r}: {listed}. Resume the evaluation, or give the "
        "benchmark file that was evaluated."
    )


def _contest_date(row: Mapping[str, Any], info: Mapping[str, Any], where: str) -> date:
    value = row.get("contest_date") or info.get("contest_date")
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return datetime.fromisoformat(str(value)).date()
    except ValueError:
        raise ExportError(f"{where}: a window needs contest_date, and this row has {value!r}") from None
