"""Write demonstrations of the tool as parquet files with the columns `messages` and `tools`.

    python -m recipe.cleaner.sft.write_demonstrations --out runs/sft_tiny/data

The same seed gives the same files. Training and held-out questions never meet.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cleartrace.data.files import whole_file
from cleartrace.data.tasks import Split, draw_task
from cleartrace.tools.code_interpreter import TOOL_SCHEMA
from recipe.cleaner.coldstart.demonstrations import ErrorRates, demonstrate


def rows(n: int, seed: int, split: Split, rates: ErrorRates) -> Iterator[dict[str, Any]]:
    """`n` conversations; the tool schema stands in each row, as RA-SFT's data has it."""
    rng = Random(f"sft-rows/{split.value}/{seed}")
    for _ in range(n):
        yield {"messages": demonstrate(draw_task(rng, split), rng, rates), "tools": [TOOL_SCHEMA]}


def write(path: Path, table: pa.Table) -> None:
    """Write whole or not at all."""
    with whole_file(path) as draft:
        pq.write_table(table, draft)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of train.parquet and val.parquet")
    parser.add_argument("--train", type=int, default=640, help="training conversations")
    parser.add_argument("--val", type=int, default=64, help="held-out conversations")
    parser.add_argument("--p-err", type=float, default=0.5, help="probability that a first call is corrupted")
    parser.add_argument("--p-err2", type=float, default=0.5, help="probability that a retry is corrupted")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rates = ErrorRates(args.p_err, args.p_err2)
    # The training file last: its presence says that both are there.
    for name, n, split in (("val", args.val, Split.HELD_OUT), ("train", args.train, Split.TRAIN)):
        path = args.out / f"{name}.parquet"
        write(path, pa.Table.from_pylist(list(rows(n, args.seed, split, rates))))
        print(f"{path}: {n} conversations", flush=True)


if __name__ == "__main__":
    main()
