"""Parquet, JSON and JSON lines, read in pieces and written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleartrace.data.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 1024


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and is removed when not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def open_parquet(path: Path) -> pq.ParquetFile:
    """Errors: `DataError` for a file that is missing or not parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise DataError(path, "there is no such file; fetch it with `cleartrace data fetch` or mend the path") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(path, f"not a readable parquet file ({error})") from None


def require_columns(path: Path, present: Iterable[str], needed: Iterable[str]) -> None:
    """Errors: `DataError` that names the missing columns and those that are there."""
    have = list(present)
    if missing := [name for name in needed if name not in have]:
        raise DataError(path, f"there is no column {', '.join(missing)}; it has {', '.join(have) or 'none'}")


def read_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number from 0, row) of a parquet file, one batch in memory at a time."""
    file = open_parquet(path)
    wanted = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
    number = 0
    for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
        for row in batch.to_pylist():
            yield number, row
            number += 1


def write_rows(path: Path, rows: Iterable[dict[str, Any]], schema: pa.Schema) -> int:
    """Write a parquet file of `schema` in batches; returns the number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    source, n = iter(rows), 0
    with whole_file(path) as partial, pq.ParquetWriter(partial, schema) as writer:
        while batch := list(islice(source, BATCH_ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            n += len(batch)
    return n


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) of a JSON lines file; blank lines are passed over."""
    if not path.is_file():
        raise DataError(path, "there is no such file")
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number}", f"not JSON ({error})") from None
            if not isinstance(value, dict):
                raise DataError(f"{path}, line {number}", "not a JSON object")
            yield number, value


def write_json_lines(path: Path, objects: Iterable[dict[str, Any]]) -> int:
    """Write one JSON object a line; returns how many."""
    n = 0
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        for value in objects:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
            n += 1
    return n


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one step."""
    with whole_file(path) as draft:
        draft.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def finite(value: Any) -> Any:
    """`value` with null for what JSON does not know: infinity, an unbounded interval, and NaN."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
