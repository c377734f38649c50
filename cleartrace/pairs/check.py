"""What a run would refuse or drop, found before it starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cleartrace.pairs.budget import Budget, Length, Overlong, OverlongError, within
from cleartrace.pairs.encode import PairEncoder
from cleartrace.pairs.files import read_pairs
from cleartrace.pairs.load import EncoderSettings
from cleartrace.pairs.record import Order, Pair
from cleartrace.pairs.split import SplitError, require_disjoint
from cleartrace.pairs.twins import twins

ENDING = 80
"""Characters of a rendered prompt that are printed."""


@dataclass(frozen=True)
class SourceCount:
    """Numbers of one source. `twins`: pairs whose other direction is there too."""

    pairs: int
    groups: int
    twins: int


def count_sources(pairs: Sequence[Pair]) -> dict[tuple[str, str], SourceCount]:
    """Counts by (source, kind), sorted."""
    with_twin = twins(pairs)
    found = {}
    for key in sorted({(pair.source, pair.kind.value) for pair in pairs}):
        mine = [pair for pair in pairs if (pair.source, pair.kind.value) == key]
        found[key] = SourceCount(len(mine), len({p.group for p in mine}), sum(p.id in with_twin for p in mine))
    return found


def run(
    files: Sequence[Path], val_files: Sequence[Path], settings: EncoderSettings | None, limit: int, overlong: Overlong
) -> bool:
    """Check and print; True when a run with these files could start.

    Errors: `DataError` and other `ValueError` for what cannot be read, rendered or encoded.
    """
    console = Console()
    encoder = settings.load() if settings else None
    pairs, val = read_pairs(files), read_pairs(val_files)
    if not pairs:
        raise ValueError(f"{', '.join(str(path) for path in files)}: there is no pair")
    console.print(_table(pairs))
    problems = [*_overlap(pairs, val)]
    if encoder is not None:
        _print_letters(console, encoder)
        for name, part in (("training", pairs), ("held-out", val)):
            problems += _lengths(console, name, part, encoder, limit, overlong) if part else []
    for problem in problems:
        console.print(f"problem: {problem}", style="red", markup=False, soft_wrap=True)
    return not problems


def _table(pairs: Sequence[Pair]) -> Table:
    table = Table("source", "kind", "pairs", "groups", "with twin")
    for (source, kind), count in count_sources(pairs).items():
        share = f"{count.twins / count.pairs:.0%}"
        table.add_row(source, kind, f"{count.pairs:,}", f"{count.groups:,}", share)
    return table


def _overlap(train: Sequence[Pair], val: Sequence[Pair]) -> list[str]:
    try:
        require_disjoint(train, val)
    except SplitError as error:
        return [str(error)]
    return []


def _print_letters(console: Console, encoder: PairEncoder) -> None:
    first, second = encoder.letters
    options = encoder.options
    text = f"{encoder.ending}{encoder.prefix}"[-ENDING:]
    console.print(f"prompts end with {text!r}; answer prefix {encoder.prefix!r}", markup=False, soft_wrap=True)
    console.print(f"{first} is token {options.first_ids}, {second} is token {options.second_ids}", markup=False)


def _lengths(
    console: Console, name: str, pairs: Sequence[Pair], encoder: PairEncoder, limit: int, overlong: Overlong
) -> list[str]:
    try:
        with _counted(console, name, pairs, encoder) as length:
            budget = within(pairs, limit, length, overlong)
    except OverlongError as error:
        return [f"{name} pairs: {error}"]
    console.print(_summary(name, budget, len(pairs), limit), markup=False, soft_wrap=True)
    return []


def _summary(name: str, budget: Budget, n: int, limit: int) -> str:
    dropped = f"{len(budget.dropped):,} are longer than {limit:,}"
    if budget.orphaned:
        dropped += f" and take {len(budget.orphaned):,} twins with them"
    return f"{name}: {len(budget.kept):,} of {n:,} pairs kept, the longest has {budget.longest:,} tokens; {dropped}"


@contextmanager
def _counted(console: Console, name: str, pairs: Sequence[Pair], encoder: PairEncoder) -> Iterator[Length]:
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"counting tokens of {name} pairs", total=len(pairs) * len(Order))

        def length(pair: Pair, order: Order) -> int:
            bar.advance(task)
            return len(encoder.encode(pair, order).input_ids)

        yield length
