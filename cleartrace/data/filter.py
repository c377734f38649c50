"""Write the rows that the pass-rate filter keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cleartrace.data.errors import DataError
from cleartrace.data.files import BATCH_ROWS, open_parquet, whole_file
from cleartrace.data.selection import Rule, Selection, select
from cleartrace.data.statistics import Joined, SuccessLine, join

OUTPUT_NAME = "filtered_sr.parquet"


def filter_file(stats: Path, dataset: Path, output_dir: Path, rule: Rule) -> tuple[Path, Selection]:
    """Write `filtered_sr.parquet`: the rows that are kept, in file order, with their statistics as columns."""
    rows = join(stats, dataset)
    try:
        selection = select(rows, rule)
    except ValueError as error:
        raise DataError(stats, str(error)) from None
    if len(rows) == selection.unmatched:
        raise DataError(stats, f"no line belongs to a row of {dataset}: the statistics are of another data set")
    target = output_dir / OUTPUT_NAME
    if target.resolve() == dataset.resolve():
        raise DataError(target, "this would overwrite the data set that is filtered; choose another folder")
    _write(dataset, target, rows, selection.kept)
    return target, selection


def _write(dataset: Path, target: Path, rows: Sequence[Joined], kept: list[int]) -> None:
    import pyarrow.parquet as pq

    file = open_parquet(dataset)
    writer = None
    with whole_file(target) as partial:
        for batch, numbers in _kept_batches(file, kept):
            table = _with_statistics(batch.take(numbers[1]), [rows[number][1] for number in numbers[0]])
            writer = writer or pq.ParquetWriter(partial, table.schema)
            writer.write_table(table)
        if writer is None:
            raise DataError(dataset, "no row would be left; give ratios that keep some")
        writer.close()


def _kept_batches(file: Any, kept: list[int]) -> Iterator[tuple[Any, tuple[list[int], list[int]]]]:
    """Batches that hold rows to keep, with (row numbers, places in the batch)."""
    start, wanted = 0, set(kept)
    for batch in file.iter_batches(BATCH_ROWS):
        places = [place for place in range(batch.num_rows) if start + place in wanted]
        if places:
            yield batch, ([start + place for place in places], places)
        start += batch.num_rows


def _with_statistics(batch: Any, lines: Sequence[SuccessLine | None]) -> Any:
    """The rows as a table, with the columns of the published output added."""
    import pyarrow as pa

    known = [line for line in lines if line is not None]
    columns = {
        "uid": pa.array([line.uid or line.sample_id for line in known], pa.string()),
        "successes": pa.array([line.successes for line in known], pa.int64()),
        "attempts": pa.array([line.attempts for line in known], pa.int64()),
        "success_rate": pa.array([line.success_rate for line in known], pa.float64()),
        "avg_score": pa.array([line.avg_score for line in known], pa.float64()),
        "keep": pa.array([line.keep for line in known], pa.bool_()),
        "data_source_stat": pa.array([line.data_source for line in known], pa.string()),
    }
    table = pa.Table.from_batches([batch])
    table = table.drop_columns([name for name in columns if name in table.column_names])
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table
