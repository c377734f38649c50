"""The statistics generator, real policy and judge."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from cleartrace.data.statistics import join
from cleartrace.evaluate.settings import PassrateSettings
from cleartrace_verl.offline.commands import run_passrate


def lines_of(path: Path) -> dict[str, dict[str, Any]]:
    return {line["sample_id"]: line for line in map(json.loads, path.read_text().splitlines())}


def test_a_shuffled_file_has_the_same_statistics(
    settings: Callable[..., dict[str, Any]], console: Console, data: Path, tmp_path: Path
) -> None:
    """D50: statistics are keyed by content, not by row position."""
    rows = pq.read_table(data).to_pylist()
    order = list(range(len(rows)))
    random.Random(1).shuffle(order)
    assert order != sorted(order)
    shuffled = tmp_path / "shuffled.parquet"
    pq.write_table(pa.Table.from_pylist([rows[i] for i in order]), shuffled)
    found = []
    for name, path in (("a", data), ("b", shuffled)):
        asked = PassrateSettings.model_validate(settings(data=[path], out=tmp_path / name))
        found.append(lines_of(run_passrate(asked, console)))
    rows_before, rows_after = ([found[i][s].pop("row") for s in sorted(found[0])] for i in (0, 1))
    for lines in found:
        for line in lines.values():
            line.pop("uid")  # without a column of that name, the row number as text
    assert found[0] == found[1] and len(found[0]) == 3
    assert rows_before != rows_after
    # The filter reads them, and finds the rows of the one file by the statistics of the other.
    assert len(join(tmp_path / "a" / "statistics.jsonl", shuffled)) == 3
    line = next(iter(found[0].values()))
    assert line["attempts"] == 2 and line["success_rate"] == line["successes"] / 2 and line["infra_errors"] == 0


def test_rows_without_all_their_rollouts_have_no_line_yet(
    settings: Callable[..., dict[str, Any]], console: Console, tmp_path: Path
) -> None:
    asked = PassrateSettings.model_validate(settings())
    path = run_passrate(asked, console)
    assert len(lines_of(path)) == 3
    rollouts = asked.out / "rollouts.jsonl"
    whole = rollouts.read_text().splitlines(keepends=True)
    assert all('"answer":""' in line and '"arm":"off"' in line for line in whole)
    rollouts.write_text("".join(whole[:-1]))
    more = PassrateSettings.model_validate(settings(limit=2))
    assert len(lines_of(run_passrate(more, console))) == 2
