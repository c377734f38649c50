"""Success statistics of a policy on a data set: one JSON line per row, joined to the rows by content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cleartrace.data.errors import DataError, column_errors
from cleartrace.data.files import open_parquet, read_json_lines, read_rows, require_columns, write_json_lines
from cleartrace.data.identity import sample_id_of_row

RATE_TOLERANCE = 1e-3
ID_COLUMNS = ("data_source", "prompt", "reward_model", "extra_info", "uid")


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class SuccessLine(BaseModel):
    """One line. `sample_id` is "" in the published file, whose `uid` is the row's number.

    Lines of our generator have further fields (mean tool failures and the like), which are kept.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    sample_id: str = ""
    uid: Annotated[str, BeforeValidator(_text)] = ""
    data_source: str
    successes: int = Field(ge=0)
    attempts: int = Field(ge=1)
    success_rate: float = Field(ge=0, le=1)
    avg_score: float
    keep: bool

    @model_validator(mode="after")
    def _rate_agrees(self) -> SuccessLine:
        if self.successes > self.attempts:
            raise ValueError(f"{self.successes} successes in {self.attempts} attempts")
        if abs(self.success_rate - self.successes / self.attempts) > RATE_TOLERANCE:
            raise ValueError(f"success_rate {self.success_rate} is not {self.successes}/{self.attempts}")
        return self


@dataclass(frozen=True)
class RowIdentity:
    """What a row of a data set is joined by. `uid`: the file's column of that name, else the row's number."""

    row: int
    uid: str
    sample_id: str
    data_source: str


Joined = tuple[RowIdentity, SuccessLine | None]
"""A row with its statistics, None where it has none."""


def row_identities(dataset: Path) -> list[RowIdentity]:
    """Identity of every row, in file order.

    Errors: `DataError` for columns that are not veRL's, and for a uid that occurs twice.
    """
    require_columns(dataset, open_parquet(dataset).schema_arrow.names, ID_COLUMNS[:3])
    found = []
    for number, row in read_rows(dataset, ID_COLUMNS):
        try:
            uid, sample_id = str(row.get("uid", number)), sample_id_of_row(row)
        except (KeyError, TypeError) as error:
            raise DataError(dataset, f"prompt or reward_model are not in veRL's form ({error!r})", number) from None
        found.append(RowIdentity(number, uid, sample_id, str(row["data_source"])))
    if len({identity.uid for identity in found}) < len(found):
        raise DataError(dataset, "a uid occurs twice, so statistics cannot be told apart", column="uid")
    return found


def read_statistics(path: Path) -> list[SuccessLine]:
    """All lines, checked. Errors: `DataError` with the line; also for a file in which only some lines have ids."""
    lines: list[SuccessLine] = []
    for number, value in read_json_lines(path):
        try:
            lines.append(SuccessLine.model_validate(value))
        except ValidationError as error:
            column, message = column_errors(error)[0]
            raise DataError(f"{path}, line {number}", message, column=column) from None
        if bool(lines[-1].sample_id) != bool(lines[0].sample_id):
            raise DataError(
                f"{path}, line {number}", "some lines have a sample_id and some have none: two files mixed?"
            )
    if not lines:
        raise DataError(path, "there is no line in it")
    return lines


def attach_ids(lines: Sequence[SuccessLine], rows: Sequence[RowIdentity], path: Path) -> list[dict[str, Any]]:
    """Lines that name rows by number (`uid`), with the ids of these rows; `row` is the place in the data set.

    Errors: `DataError` for a uid that no row has or that comes twice, and where line and row come from different
    sources: then the numbers were counted in another file.
    """
    attached: list[dict[str, Any]] = []
    of_uid = {row.uid: row for row in rows}
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        where = f"{path}, statistics {number} of {len(lines)}"
        row = of_uid.get(line.uid)
        if row is None:
            raise DataError(where, f"the data set has {len(rows)} rows and none is {line.uid!r}", column="uid")
        if line.uid in seen:
            raise DataError(where, f"row {line.uid} has statistics already (number {seen[line.uid]})", column="uid")
        seen[line.uid] = number
        if row.data_source != line.data_source:
            message = f"{line.data_source!r}, but row {line.uid} of the data set is from {row.data_source!r}"
            raise DataError(where, f"{message}: the row numbers belong to another file", column="data_source")
        attached.append({**line.model_dump(), "sample_id": row.sample_id, "row": row.row})
    return attached


def write_attached(stats: Path, dataset: Path, target: Path) -> int:
    """Convert the published statistics file; returns the number of lines."""
    lines = read_statistics(stats)
    if lines[0].sample_id:
        raise DataError(stats, "the lines have a sample_id already; nothing is to be attached")
    return write_json_lines(target, attach_ids(lines, row_identities(dataset), stats))


def join(stats: Path, dataset: Path) -> list[Joined]:
    """Each row with its statistics, None where it has none.

    Rows of equal content share an id: one line speaks for all of them, and as many lines as rows are paired in
    order. Errors: `DataError` for anything else, and for a line whose source is not that of its row.
    """
    lines, rows = read_statistics(stats), row_identities(dataset)
    if not lines[0].sample_id:
        attach_ids(lines, rows, stats)
        by_uid = {line.uid: line for line in lines}
        return [(row, by_uid.get(row.uid)) for row in rows]
    return list(_joined(lines, rows, stats))


def _joined(lines: Sequence[SuccessLine], rows: Sequence[RowIdentity], path: Path) -> Iterator[Joined]:
    by_id: dict[str, list[SuccessLine]] = defaultdict(list)
    places: dict[str, list[int]] = defaultdict(list)
    for line in lines:
        by_id[line.sample_id].append(line)
    for row in rows:
        places[row.sample_id].append(row.row)
    for row in rows:
        mine, same = by_id.get(row.sample_id, []), places[row.sample_id]
        if len(mine) > 1 and len(mine) != len(same):
            message = f"{len(mine)} lines for sample {row.sample_id}, which the data set has {len(same)} times"
            raise DataError(path, f"{message} (row {row.row}): statistics of two runs in one file?")
        line = mine[same.index(row.row) if len(mine) > 1 else 0] if mine else None
        if line is not None and line.data_source != row.data_source:
            message = f"{line.data_source!r} for sample {row.sample_id}, but row {row.row} is from {row.data_source!r}"
            raise DataError(path, message, column="data_source")
        yield row, line
