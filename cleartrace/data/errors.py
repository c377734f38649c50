"""What is wrong with a data file, and where."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError


class DataError(ValueError):
    """A file that cannot be used. The text names the file, the row (counted from 0) and the column where known."""

    def __init__(self, path: Path | str, message: str, row: int | None = None, column: str = "") -> None:
        where = [str(path), *([] if row is None else [f"row {row}"]), *([f"column {column}"] if column else [])]
        super().__init__(f"{', '.join(where)}: {message}")
        self.row, self.column, self.message = row, column, message


def column_errors(error: ValidationError) -> list[tuple[str, str]]:
    """(column, message) per problem of one row; nested fields read `reward_model.ground_truth`."""
    found = []
    for problem in error.errors(include_url=False, include_input=False):
        column = ".".join(str(part) for part in problem["loc"] if isinstance(part, str | int))
        found.append((column, problem["msg"].removeprefix("Value error, ")))
    return found


def row_error(path: Path | str, row: int, error: ValidationError) -> DataError:
    """The first problem of a row as a `DataError`."""
    column, message = column_errors(error)[0]
    return DataError(path, message, row, column)
