"""Tables of an audit for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cleartrace.pairs.audit.shortcuts import Score


def print_scores(scores: Sequence[Score], console: Console | None = None) -> None:
    table = Table(box=SIMPLE_HEAD, title="Shortcuts, on held-out groups")
    for name in ("shortcut", "accuracy", "95 %", "guessing", "verdict"):
        table.add_column(name, justify="left" if name in ("shortcut", "verdict") else "right")
    for s in scores:
        verdict = "at chance" if s.at_chance else "[bold red]beats chance[/]" if s.accuracy > 0.5 else "below chance"
        interval, chance = f"{s.low:.1%} to {s.high:.1%}", f"{s.chance_low:.1%} to {s.chance_high:.1%}"
        table.add_row(s.shortcut.value, f"{s.accuracy:.1%}", interval, chance, verdict)
    (console or Console()).print(table)


def print_facts(card: dict[str, Any], console: Console | None = None) -> None:
    console = console or Console()
    facts = card["facts"]
    ratio = facts["length_ratio"]
    console.print(
        f"{card['pairs']:,} pairs in {card['groups']:,} groups, {card['both_directions']:.1%} both ways round"
    )
    console.print(
        f"length ratio {ratio['min']:.2f} to {ratio['max']:.2f}, median {ratio['median']:.2f}; "
        f"{facts['length_ratio_outside']:,} outside 0.8 to 1.25; "
        f"{facts['turn_difference_above_3']:,} with more than 3 turns between them; "
        f"5-gram overlap with the answer, mean difference {facts['overlap_gap']['mean']:+.4f}"
    )


def print_funnel(funnel: dict[str, Any], console: Console | None = None) -> None:
    """The stages of a mining run."""
    console = console or Console()
    runs = funnel["trajectories"]
    console.print(f"{runs['read']:,} trajectories read, {runs['used']:,} used")
    for why, n in runs["left_out"].items():
        console.print(f"  {n:>10,}  left out: {why.replace('_', ' ')}")
    table = Table(box=SIMPLE_HEAD, title="Pairs of instances")
    table.add_column("after stage")
    table.add_column("pairs", justify="right")
    for stage, n in funnel["pairs"].items():
        table.add_row(stage.replace("_", " "), f"{n:,}")
    console.print(table)
    for outcome, n in funnel["outcomes"].items():
        console.print(f"  {n:>10,}  {outcome.replace('_', ' ')}")
