"""VLMEvalKit's files: data as TSV with images in base64, predictions as TSV or xlsx.

The benchmarks are the user's to bring (VLMEvalKit downloads them as TSV). Prediction tables are what its evaluators
read; a hole in one is scored as a wrong answer without a word, so it is an error here.
"""

from __future__ import annotations

import base64
import binascii
import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.data.errors import DataError
from cleartrace.data.files import whole_file

PREDICTION_COLUMNS = ("index", "question", "answer", "prediction")
DATA_COLUMNS = ("index", "question")
LONGEST_REFERENCE = 64
"""An image cell up to this length is the index of the row that holds the image."""
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM")


@dataclass(frozen=True)
class Sample:
    """One row of a benchmark. `images`: encoded image files; `options`: letter -> text; `rest`: all other columns."""

    index: str
    question: str
    answer: str
    images: tuple[bytes, ...]
    options: Mapping[str, str]
    rest: Mapping[str, str]


def read_samples(path: Path) -> list[Sample]:
    """All rows of a data TSV; an image that is shared is looked up in the row that holds it.

    Raises:
        DataError: a missing column, a doubled index, or a cell that is no image.
    """
    rows = read_table(path, DATA_COLUMNS)
    cells = {row["index"]: row.get("image", "") for row in rows}
    if len(cells) != len(rows):
        raise DataError(path, "an index is there twice")
    return [_sample(path, number, row, cells) for number, row in enumerate(rows)]


def check_predictions(path: Path, data: Path | None = None) -> int:
    """The number of rows of a prediction table that an evaluator can use; with `data`, of all its questions.

    Raises:
        DataError: a missing column, a doubled or strange index, a question without a prediction.
    """
    rows = read_table(path, PREDICTION_COLUMNS)
    seen: set[str] = set()
    for number, row in enumerate(rows):
        if row["index"] in seen:
            raise DataError(path, f"index {row['index']} is there twice", number, "index")
        if not row["prediction"].strip():
            raise DataError(path, "empty; let the model answer, or write what it said", number, "prediction")
        seen.add(row["index"])
    if data is not None:
        wanted = {row["index"] for row in read_table(data, DATA_COLUMNS)}
        if missing := sorted(wanted - seen):
            raise DataError(path, f"{len(missing)} questions of {data} have no row, such as index {missing[0]}")
        if strange := sorted(seen - wanted):
            raise DataError(path, f"{len(strange)} rows are not of {data}, such as index {strange[0]}")
    return len(rows)


def write_predictions(path: Path, samples: Sequence[Sample], predictions: Mapping[str, str]) -> int:
    """Write a prediction table (`.tsv` or `.xlsx`) with a row for every sample; returns how many.

    Raises:
        DataError: a sample has no prediction.
    """
    if missing := [sample.index for sample in samples if not predictions.get(sample.index, "").strip()]:
        raise DataError(path, f"{len(missing)} samples have no prediction, such as index {missing[0]}")
    rows = [
        {
            **sample.rest,
            **sample.options,
            "index": sample.index,
            "question": sample.question,
            "answer": sample.answer,
            "prediction": predictions[sample.index],
        }
        for sample in samples
    ]
    columns = [
        *PREDICTION_COLUMNS,
        *dict.fromkeys(name for row in rows for name in row if name not in PREDICTION_COLUMNS),
    ]
    with whole_file(path) as draft:
        if path.suffix == ".xlsx":
            _write_xlsx(draft, columns, rows)
        else:
            with draft.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, columns, restval="", dialect="excel-tab", lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    return len(rows)


def read_table(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """All rows of a `.tsv` or `.xlsx` file as text. Raises DataError that names missing columns."""
    if not path.is_file():
        raise DataError(path, "there is no such file")
    if path.suffix not in (".tsv", ".xlsx"):
        raise DataError(path, "VLMEvalKit's tables are .tsv or .xlsx")
    rows = list(_read_xlsx(path) if path.suffix == ".xlsx" else _read_tsv(path))
    if not rows:
        raise DataError(path, "there is no row in it")
    if missing := [name for name in needed if name not in rows[0]]:
        raise DataError(path, f"there is no column {', '.join(missing)}; it has {', '.join(rows[0])}")
    return rows


def _sample(path: Path, number: int, row: Mapping[str, str], cells: Mapping[str, str]) -> Sample:
    options = {name: text for name, text in row.items() if len(name) == 1 and name.isupper() and text}
    known = {"index", "question", "answer", "image", *options}
    return Sample(
        index=row["index"],
        question=row["question"],
        answer=row.get("answer", ""),
        images=tuple(_images(path, number, row.get("image", ""), cells)),
        options=options,
        rest={name: text for name, text in row.items() if name not in known},
    )


def _images(path: Path, number: int, cell: str, cells: Mapping[str, str]) -> Iterator[bytes]:
    if 0 < len(cell) <= LONGEST_REFERENCE:
        if cell not in cells or len(cells[cell]) <= LONGEST_REFERENCE:
            raise DataError(path, f"refers to the image of index {cell}, which has none", number, "image")
        cell = cells[cell]
    for text in _listed(cell):
        try:
            image = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise DataError(path, f"not base64 ({error})", number, "image") from None
        if not image.startswith(_SIGNATURES):
            raise DataError(path, "base64 of something that is no image", number, "image")
        yield image


def _listed(cell: str) -> list[str]:
    """Several images of a row are written as a list of quoted strings."""
    if cell.startswith("[") and cell.endswith("]"):
        return [part.strip().strip("'\"") for part in cell[1:-1].split(",")]
    return [cell] if cell else []


def _read_tsv(path: Path) -> Iterator[dict[str, str]]:
    # A cell holds whole images; the limit is the C long of the platform.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, dialect="excel-tab"):
            yield {name: value or "" for name, value in row.items() if name is not None}


def _read_xlsx(path: Path) -> Iterator[dict[str, str]]:
    book = _openpyxl(path).load_workbook(path, read_only=True, data_only=True)
    try:
        lines = book.worksheets[0].iter_rows(values_only=True)
        head = [str(name) for name in next(lines, ())]
        for line in lines:
            yield {name: "" if value is None else str(value) for name, value in zip(head, line, strict=False)}
    finally:
        book.close()


def _write_xlsx(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    book = _openpyxl(path).Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(list(columns))
    for row in rows:
        sheet.append([row.get(name, "") for name in columns])
    with path.open("wb") as file:
        book.save(file)


def _openpyxl(path: Path) -> Any:
    try:
        import openpyxl
    except ImportError:
        raise DataError(path, "xlsx files need openpyxl: pip install openpyxl, or use .tsv") from None
    return openpyxl
