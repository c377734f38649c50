"""Files of pairs: JSON lines or parquet, images by path."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cleartrace.data.errors import DataError, row_error
from cleartrace.data.files import read_json_lines, read_rows, write_json_lines, write_rows
from cleartrace.pairs.record import Context, ImageRef, Pair

_PARQUET = ".parquet"
_AS_JSON = ("pos", "neg", "images", "meta")
"""Fields that have no one type: a parquet file holds them as JSON text."""


def iter_pairs(path: Path | str) -> Iterator[Pair]:
    """The pairs of one file, one at a time. Relative image paths are made absolute from the folder of the file.

    Errors: `DataError` that names the file, the row from 0 and the column.
    """
    path = Path(path)
    for row, fields in _raw(path):
        try:
            yield _with_images(Pair.model_validate(fields), path.parent.resolve())
        except ValidationError as error:
            raise row_error(path, row, error) from None


def read_pairs(paths: Path | str | Sequence[Path | str]) -> list[Pair]:
    """All pairs of the files.

    Errors: `DataError` for a file or row that cannot be used, and for an id that occurs twice.
    """
    found: dict[str, Pair] = {}
    for path in [paths] if isinstance(paths, str | Path) else paths:
        for row, pair in enumerate(iter_pairs(path)):
            if pair.id in found:
                raise DataError(path, f"the id {pair.id!r} occurs twice; give every pair its own", row, "id")
            found[pair.id] = pair
    return list(found.values())


def write_pairs(path: Path | str, pairs: Iterable[Pair]) -> int:
    """Write pairs, whole or not at all; returns how many. Images below the folder of the file get relative paths."""
    path = Path(path)
    rows = (_plain(_with_images(pair, path.parent.resolve(), relative=True)) for pair in pairs)
    if path.suffix != _PARQUET:
        return write_json_lines(path, rows)
    import pyarrow as pa

    schema = pa.schema([(name, pa.string()) for name in Pair.model_fields])
    return write_rows(path, (_packed(row) for row in rows), schema)


def _raw(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix == _PARQUET:
        for row, fields in read_rows(path):
            yield row, _unpacked(path, row, fields)
    else:
        yield from ((row, fields) for row, (_, fields) in enumerate(read_json_lines(path)))


def _plain(pair: Pair) -> dict[str, Any]:
    """The record as JSON values, without what it leaves at its default."""
    return pair.model_dump(mode="json", exclude_defaults=True)


def _packed(row: dict[str, Any]) -> dict[str, Any]:
    return {k: json.dumps(v, ensure_ascii=False) if k in _AS_JSON else v for k, v in row.items()}


def _unpacked(path: Path, row: int, fields: dict[str, Any]) -> dict[str, Any]:
    present = {name: value for name, value in fields.items() if value is not None}
    for name in _AS_JSON:
        if name not in present:
            continue
        try:
            present[name] = json.loads(present[name])
        except (TypeError, ValueError) as error:
            raise DataError(path, f"not JSON text ({error})", row, name) from None
    return present


def _with_images(pair: Pair, folder: Path, relative: bool = False) -> Pair:
    def moved(context: Context) -> Context:
        return _placed(context, folder, relative) if isinstance(context, ImageRef) else context

    images = tuple(_placed(image, folder, relative) for image in pair.images)
    changed = {"pos": moved(pair.pos), "neg": moved(pair.neg), "images": images}
    return pair.model_copy(update=changed)


def _placed(image: ImageRef, folder: Path, relative: bool) -> ImageRef:
    """The image with an absolute path, or with one from `folder` where it lies below it."""
    path = Path(os.path.normpath(folder / image.path))
    if relative and path.is_relative_to(folder):
        path = path.relative_to(folder)
    return ImageRef(path=str(path))
