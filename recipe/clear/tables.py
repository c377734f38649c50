"""Tables of the study, from the CSVs of its seeds alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import isfinite
from statistics import fmean

from cleartrace.evaluate.stats import clustered_interval, mean_interval, sign_flip_p
from recipe.clear.evaluation import ARMS, PAIRS

Rows = Sequence[Mapping[str, str]]
Seeds = Mapping[int, Rows]
"""Seed -> rows of its `runs.csv`."""


def passes(rows: Rows, arm: str) -> dict[str, float]:
    """Task -> share of its runs that passed. Raises ValueError for a run without a score: this agent has none."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["arm"] == arm:
            found[row["task"]].append(float(row["score"]))
    return {task: fmean(scores) for task, scores in found.items()}


def arms_in(seeds: Seeds) -> list[str]:
    """In the order of `ARMS`."""
    there = {row["arm"] for rows in seeds.values() for row in rows}
    return [arm for arm in ARMS if arm in there]


def arms_table(seeds: Seeds) -> str:
    """Markdown: tasks completed by each arm, in percent; mean over seeds with a Student 95 % interval."""
    lines = ["| context | seeds | completed, % | each seed | abstains, % | tokens |", "|---|---|---|---|---|---|"]
    for arm in arms_in(seeds):
        each = [100 * fmean(passes(rows, arm).values()) for rows in seeds.values()]
        mine = [row for rows in seeds.values() for row in rows if row["arm"] == arm]
        abstains = 100 * fmean(float(row["abstained"]) for row in mine)
        tokens = fmean(float(row["tokens"]) for row in mine)
        shown = ", ".join(f"{value:.1f}" for value in each)
        lines.append(f"| {arm} | {len(each)} | {_interval(each)} | {shown} | {abstains:.0f} | {tokens:.0f} |")
    return "\n".join(lines)


def solved_table(seeds: Seeds) -> str:
    """Markdown: what a context does to tasks that the agent always completes without one, and to all others."""
    lines = [
        "| context | of tasks solved without: completed, % | abstains, % | of all others: completed, % | abstains, % |",
        "|---|---|---|---|---|",
    ]
    solved = {
        (seed, task)
        for seed, rows in seeds.items()
        for task, share in passes(rows, "no context").items()
        if share == 1.0
    }
    for arm in arms_in(seeds):
        mine = [
            ((seed, row["task"]) in solved, row) for seed, rows in seeds.items() for row in rows if row["arm"] == arm
        ]
        shares = [
            f"{100 * fmean(float(row[what]) for was, row in mine if was is wanted):.0f}"
            for wanted in (True, False)
            for what in ("score", "abstained")
        ]
        lines.append(f"| {arm} | {' | '.join(shares)} |")
    return "\n".join(lines)


def pairs_table(seeds: Seeds) -> str:
    """Markdown: differences over the tasks of all seeds; interval and p by whole customers of each seed's world."""
    lines = ["| difference | tasks | customers | points | p |", "|---|---|---|---|---|"]
    there = arms_in(seeds)
    for base, other in (pair for pair in PAIRS if set(pair) <= set(there)):
        gaps, groups = [], []
        for seed, rows in seeds.items():
            ones, others = passes(rows, base), passes(rows, other)
            for task in ones:
                gaps.append(100 * (others[task] - ones[task]))
                groups.append(f"{seed}:{task.rpartition('-')[0]}")
        sums: dict[str, float] = defaultdict(float)
        for gap, group in zip(gaps, groups, strict=True):
            sums[group] += gap
        low, high = clustered_interval(gaps, groups, share=False)
        p = sign_flip_p(list(sums.values()))
        within = f"{low:+.1f}, {high:+.1f}" if isfinite(low) else "all agree: unknown"
        points = f"{fmean(gaps):+.1f} [{within}]"
        lines.append(f"| {other} − {base} | {len(gaps)} | {len(sums)} | {points} | {p:.3g} |")
    return "\n".join(lines)


def _interval(values: Sequence[float]) -> str:
    mean, low, high = mean_interval(values)
    return f"{mean:.1f}" if len(values) == 1 else f"{mean:.1f} [{low:.1f}, {high:.1f}]"
