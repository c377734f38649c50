"""Write the training files of an experiment and of its baselines from prepared tasks and pairs.

    python -m recipe.contextrl.mixture agentic_qwen3_8b --tasks gym.parquet --val-tasks lite.parquet \\
        --pairs train.jsonl --val-pairs val.jsonl

The files go to data/contextrl/<experiment>/, where the experiment looks for them: tasks.parquet and pairs.jsonl
(ContextRL), rl_matched.parquet (plain GRPO on as many rows), da_rl.parquet (tasks, and pairs as tasks), da_sft.parquet,
the held-out val_tasks.parquet and val_pairs.jsonl, and mixture.json, which says what was drawn from what.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from cleartrace.data.files import file_sha256, whole_file
from cleartrace.pairs.export import export_rl, export_sft
from cleartrace.pairs.files import read_pairs, write_pairs
from cleartrace.pairs.record import Pair
from cleartrace.pairs.split import require_disjoint
from recipe.contextrl.presets import PRESETS, Mixture
from recipe.contextrl.tables import append_rows, count_rows, write_sample

ROOT = Path("data/contextrl")


@dataclass(frozen=True)
class Sources:
    """Files to draw from. The held-out ones are taken whole."""

    tasks: tuple[Path, ...]
    val_tasks: tuple[Path, ...]
    pairs: tuple[Path, ...]
    val_pairs: tuple[Path, ...]

    @property
    def all(self) -> tuple[Path, ...]:
        return (*self.tasks, *self.val_tasks, *self.pairs, *self.val_pairs)


def draw_pairs(pairs: Sequence[Pair], n: int, seed: int) -> list[Pair]:
    """At most `n` pairs, by whole groups in an order that `seed` decides: both directions stay together.

    Raises:
        ValueError: there are fewer than `n` pairs.
    """
    if len(pairs) < n:
        raise ValueError(f"{n} pairs are wanted, {len(pairs)} are there: mine or make more, or give a smaller --scale")
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.group].append(pair)
    names = sorted(groups)
    Random(seed).shuffle(names)
    drawn: list[Pair] = []
    for name in names:
        if len(drawn) + len(groups[name]) <= n:
            drawn += groups[name]
    return drawn


def draw_rows(sizes: Sequence[int], n: int, seed: int) -> list[set[int]]:
    """For each file the row numbers that are taken, `n` in all. A larger `n` of the same seed keeps what it had.

    Raises:
        ValueError: the files hold fewer than `n` rows.
    """
    rows = [(file, row) for file, size in enumerate(sizes) for row in range(size)]
    if len(rows) < n:
        raise ValueError(f"{n} tasks are wanted, {len(rows)} are there: give more --tasks files, or a smaller --scale")
    Random(seed).shuffle(rows)
    taken: list[set[int]] = [set() for _ in sizes]
    for file, row in rows[:n]:
        taken[file].add(row)
    return taken


def write_mixture(mixture: Mixture, sources: Sources, out: Path, seed: int = 0) -> dict[str, int]:
    """Write all files; returns the number of rows of each.

    Raises:
        ValueError: too few rows, a group on both sides, or files whose columns do not fit together.
    """
    train, val = read_pairs(sources.pairs), read_pairs(sources.val_pairs)
    require_disjoint(train, val)
    drawn = draw_pairs(train, mixture.pairs, seed)
    rows = {
        **_write_tasks(mixture, sources, out, seed),
        "pairs.jsonl": write_pairs(out / "pairs.jsonl", drawn),
        "val_pairs.jsonl": write_pairs(out / "val_pairs.jsonl", val),
        "da_sft.parquet": export_sft(drawn, out / "da_sft.parquet"),
    }
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        asked = Path(scratch) / "pairs.parquet"
        export_rl(drawn, asked)
        rows["da_rl.parquet"] = append_rows(out / "tasks.parquet", asked, out / "da_rl.parquet")
    _write_manifest(out / "mixture.json", rows, sources.all, seed)
    return rows


def _write_tasks(mixture: Mixture, sources: Sources, out: Path, seed: int) -> dict[str, int]:
    sizes, val_sizes = ([count_rows(path) for path in paths] for paths in (sources.tasks, sources.val_tasks))
    taken = draw_rows(sizes, mixture.tasks, seed)
    matched = draw_rows(sizes, mixture.tasks + mixture.pairs, seed)
    every = [set(range(size)) for size in val_sizes]
    return {
        "tasks.parquet": write_sample(sources.tasks, taken, out / "tasks.parquet"),
        "rl_matched.parquet": write_sample(sources.tasks, matched, out / "rl_matched.parquet"),
        "val_tasks.parquet": write_sample(sources.val_tasks, every, out / "val_tasks.parquet"),
    }


def _write_manifest(path: Path, rows: dict[str, int], sources: Sequence[Path], seed: int) -> None:
    digests = {str(source): file_sha256(source) for source in sources}
    with whole_file(path) as partial:
        partial.write_text(json.dumps({"seed": seed, "rows": rows, "sources": digests}, indent=2) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 written, 2 what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=PRESETS, help="decides the number of tasks and pairs")
    parser.add_argument("--tasks", type=Path, nargs="+", required=True, help="prepared parquet files of one schema")
    parser.add_argument("--val-tasks", type=Path, nargs="+", required=True, help="prepared files of held-out tasks")
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="training pairs")
    parser.add_argument("--val-pairs", type=Path, nargs="+", required=True, help="held-out pairs of other groups")
    parser.add_argument("--pair-share", type=float, help="another share of pairs in as many rows, e.g. 0.05")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the published size, for trials")
    parser.add_argument("--out", type=Path, help="folder to write; default: data/contextrl/<experiment>")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    sources = Sources(*map(tuple, (args.tasks, args.val_tasks, args.pairs, args.val_pairs)))
    try:
        mixture = PRESETS[args.experiment]
        mixture = mixture.with_share(args.pair_share) if args.pair_share is not None else mixture
        out = args.out or ROOT / args.experiment
        rows = write_mixture(mixture.scaled(args.scale), sources, out, args.seed)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name, n in rows.items():
        print(f"{out / name}: {n:,} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
