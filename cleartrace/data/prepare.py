"""Source files into files that veRL reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cleartrace.data.errors import DataError, row_error
from cleartrace.data.files import open_parquet, read_rows, require_columns, write_rows
from cleartrace.data.identity import mapping_of
from cleartrace.data.names import Arms, Profile
from cleartrace.data.prepared import schema
from cleartrace.data.profiles import map_row
from cleartrace.data.wording import Wording

EXTRA_INFO = "extra_info."


@dataclass(frozen=True)
class Plan:
    """How a file is prepared. Exactly one of `profile` (the whole file) and `profile_column` (each row) is given;
    `extra_info.NAME` is a column too. `data_source` is for files that have no such column."""

    profile: Profile | None = None
    profile_column: str = ""
    data_source: str = ""
    agents: tuple[str, ...] = Arms.TRAIN.agents
    wording: Wording = field(default_factory=Wording)


@dataclass(frozen=True)
class Prepared:
    """What was written: rows in all, and rows per data source of the source file."""

    rows: int
    sources: Counter[str]


def prepare(source: Path, target: Path, plan: Plan) -> Prepared:
    """Write `target` from `source`, whole or not at all. Each agent gets all rows, one agent after the other.

    Errors: `DataError` with the row and the column of the first row that does not fit its profile.
    """
    _check(source, plan)
    counts: Counter[str] = Counter()
    rows = write_rows(target, _prepared_rows(source, plan, counts), schema())
    return Prepared(rows, counts)


def _check(source: Path, plan: Plan) -> None:
    if (plan.profile is None) == (not plan.profile_column):
        names = ", ".join(profile.value for profile in Profile)
        raise DataError(source, f"name either the profile of the file or the column that names each row's: {names}")
    columns = open_parquet(source).schema_arrow.names
    if "data_source" not in columns and not plan.data_source:
        raise DataError(source, "there is no column data_source; give the name of the source (--data-source)")
    if "data_source" in columns and plan.data_source:
        raise DataError(source, "there is a column data_source already; leave --data-source out", column="data_source")
    if plan.profile_column:
        require_columns(source, columns, [plan.profile_column.partition(".")[0]])


def _prepared_rows(source: Path, plan: Plan, counts: Counter[str]) -> Iterator[dict[str, Any]]:
    for agent in plan.agents:
        for number, raw in read_rows(source):
            if plan.data_source:
                raw["data_source"] = plan.data_source
            profile = plan.profile or _named_profile(source, number, raw, plan.profile_column)
            try:
                row = map_row(profile, raw, plan.wording)
            except ValidationError as error:
                raise row_error(source, number, error) from None
            except ValueError as error:
                raise DataError(source, str(error), number) from None
            if agent == plan.agents[0]:
                counts[row.data_source] += 1
            yield row.for_verl(agent, profile=profile.value, index=number)


def _named_profile(source: Path, number: int, raw: dict[str, Any], column: str) -> Profile:
    value = mapping_of(raw.get("extra_info")).get(column.removeprefix(EXTRA_INFO)) if "." in column else raw[column]
    try:
        return Profile(value)
    except ValueError:
        names = ", ".join(profile.value for profile in Profile)
        raise DataError(source, f"{value!r} is not a profile; there are {names}", number, column) from None
