"""Parquet files of tasks: samples of several, and pairs appended to one. One batch is in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cleartrace.data.errors import DataError
from cleartrace.data.files import BATCH_ROWS, open_parquet, whole_file

MEDIA = ("images", "videos", "audios")


def count_rows(path: Path) -> int:
    """Errors: `DataError` for a file that is missing or not parquet."""
    return open_parquet(path).metadata.num_rows


def write_sample(paths: Sequence[Path], taken: Sequence[set[int]], out: Path) -> int:
    """Write the rows whose numbers are in `taken`, file by file; returns how many.

    Errors: `DataError` when the files have not one schema: veRL concatenates them, and types must agree.
    """
    schema = open_parquet(paths[0]).schema_arrow.remove_metadata()
    n = 0
    with whole_file(out) as partial, pq.ParquetWriter(partial, schema) as writer:
        for path, rows in zip(paths, taken, strict=True):
            file, first = open_parquet(path), 0
            if file.schema_arrow.remove_metadata() != schema:
                raise DataError(path, f"its columns are not those of {paths[0]}: prepare both with the same version")
            for batch in file.iter_batches(BATCH_ROWS):
                kept = [i for i in range(batch.num_rows) if first + i in rows]
                first, n = first + batch.num_rows, n + len(kept)
                writer.write_table(pa.Table.from_batches([batch]).take(kept))
    return n


def append_rows(tasks: Path, extra: Path, out: Path) -> int:
    """Write the rows of both files with the columns of both; what a row lacks is null. Returns how many.

    Errors: `DataError` when a column has two types, or images are stored in two ways: null fields would then
    stand in the images that veRL reads.
    """
    one, other = (open_parquet(path).schema_arrow.remove_metadata() for path in (tasks, extra))
    for name in MEDIA:
        if name in one.names and name in other.names and one.field(name).type != other.field(name).type:
            raise DataError(
                tasks, f"images are stored otherwise than in {extra.name}: {one.field(name).type}", column=name
            )
    schema = pa.schema(list(_merged(pa.struct(list(one)), pa.struct(list(other)), tasks)))
    n = 0
    with whole_file(out) as partial, pq.ParquetWriter(partial, schema) as writer:
        for path in (tasks, extra):
            for batch in open_parquet(path).iter_batches(BATCH_ROWS):
                writer.write_table(pa.Table.from_pylist(batch.to_pylist(), schema=schema))
                n += batch.num_rows
    return n


def _merged(one: pa.DataType, other: pa.DataType, path: Path, name: str = "") -> pa.DataType:
    """The type that holds values of both: structs and lists are merged, others must agree."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if pa.types.is_list(one) and pa.types.is_list(other):
        return pa.list_(_merged(one.value_type, other.value_type, path, name))
    if not (pa.types.is_struct(one) and pa.types.is_struct(other)):
        raise DataError(path, f"is {one} here and {other} in the rows of pairs", column=name)
    fields = {field.name: field.type for field in one}
    for field in other:
        inner = f"{name}.{field.name}".lstrip(".")
        known = fields.get(field.name)
        fields[field.name] = field.type if known is None else _merged(known, field.type, path, inner)
    return pa.struct(list(fields.items()))
