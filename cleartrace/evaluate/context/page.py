"""A comparison of arms as files: comparison.json, comparison.md, comparison.html."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cleartrace.data.files import finite, write_json
from cleartrace.evaluate.context.compare import Paired
from cleartrace.evaluate.context.metrics import ArmSummary, Spread
from cleartrace.evaluate.summary import Estimate
from cleartrace.llm.ledger import Spent
from cleartrace.report.build import write_whole
from cleartrace.report.chart import Chart, Series, format_number
from cleartrace.report.html import render_page, view_chart


@dataclass(frozen=True)
class Comparison:
    """Arms, the first being what the others are compared with. `spent`: on all runs of their evaluations, by role."""

    title: str
    arms: tuple[ArmSummary, ...]
    paired: tuple[Paired, ...] = ()
    spent: tuple[Spent, ...] = ()


@dataclass(frozen=True)
class Table:
    """Cells as text. The first column is a name, the others are numbers."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write the three files, each in one step, and return the page's path."""
    write_json(folder / "comparison.json", finite(asdict(comparison)))
    write_whole(folder / "comparison.md", markdown(comparison))
    page = render_page(
        "context.html.j2",
        styles=("style.css", "chart.css"),
        scripts=("text.js", "chart.js"),
        title=comparison.title,
        tables=tables(comparison),
        charts=[view_chart(chart) for chart in charts(comparison)],
    )
    return write_whole(folder / "comparison.html", page)


def markdown(comparison: Comparison) -> str:
    """The tables alone, for a README or a terminal."""
    parts = [f"# {comparison.title}"]
    for table in tables(comparison):
        rows = [table.head, ("---",) + ("---:",) * (len(table.head) - 1), *table.rows]
        parts += [f"## {table.title}", "\n".join("| " + " | ".join(row) + " |" for row in rows)]
    return "\n\n".join(parts) + "\n"


def tables(comparison: Comparison) -> list[Table]:
    """Completion, cost and, with several arms, paired differences; what all model calls took, where a ledger says."""
    found = [
        Table("Completion", COMPLETION, tuple(map(_completion, comparison.arms))),
        Table("Runs and cost, per run", COST, tuple(map(_cost, comparison.arms))),
    ]
    if comparison.paired:
        rows = tuple(map(_paired, comparison.paired))
        found.append(Table("Paired differences, task by task under common seeds", PAIRED, rows))
    if comparison.spent:
        found.append(Table("Model calls in all, by role", SPENT, tuple(map(_spent, comparison.spent))))
    return found


COMPLETION = (
    "context", "tasks", "scenarios", "passes", "tasks completed", "scored runs only", "scenarios completed", "score",
    "pass@n", "scenarios pass@n",
)  # fmt: skip
COST = (
    "context", "runs", "missing", "without a score", "failures", "abstained", "agent tokens", "context tokens",
    "dollars", "turns", "seconds", "seconds per turn", "seconds for context",
)  # fmt: skip
SPENT = ("role", "calls", "retries", "input tokens", "output tokens", "dollars", "seconds")
PAIRED = ("context", "tasks", "pairs", "left out", "tasks completed", "p", "score", "p", "gained", "lost")


def _completion(arm: ArmSummary) -> tuple[str, ...]:
    n = max(arm.pass_at)
    return (
        arm.name, str(arm.tasks), str(arm.scenarios), str(len(arm.tgc.passes)), _spread(arm.tgc, arm.tgc_interval),
        "none" if arm.scored_tgc is None else f"{arm.scored_tgc:.1%}", _spread(arm.sgc, arm.sgc_interval),
        _estimate(arm.score), _estimate(arm.pass_at[n]), f"{arm.sgc_pass_at[n]:.1%}",
    )  # fmt: skip


def _cost(arm: ArmSummary) -> tuple[str, ...]:
    cost = arm.cost
    failures = ", ".join(f"{name} {count}" for name, count in sorted(arm.failures.items())) or "none"
    numbers = (cost.turns, cost.seconds, cost.seconds_per_turn, cost.context_seconds)
    return (
        arm.name, str(arm.runs), str(arm.missing), str(arm.unscored), failures, str(arm.abstained),
        format_number(cost.agent_tokens), format_number(cost.context_tokens),
        _dollars(cost.dollars),
        *("none" if math.isnan(value) else format_number(value) for value in numbers),
    )  # fmt: skip


def _paired(pair: Paired) -> tuple[str, ...]:
    return (
        f"{pair.other} - {pair.base}" + (f" (unlike: {', '.join(pair.differences)})" if pair.differences else ""),
        str(pair.tasks), str(pair.pairs), str(pair.left_out), _points(pair.tgc), f"{pair.p_tgc:.3g}",
        _points(pair.score), f"{pair.p_score:.3g}", str(len(pair.gained)), str(len(pair.lost)),
    )  # fmt: skip


def _spent(row: Spent) -> tuple[str, ...]:
    counts = (row.calls, row.retries, row.input_tokens, row.output_tokens)
    return (row.role, *map(str, counts), _dollars(row.cost), f"{row.seconds:.1f}")


def _dollars(cost: float | None) -> str:
    return "unknown" if cost is None else f"{cost:.4f}"


def _spread(spread: Spread, interval: tuple[float, float]) -> str:
    deviation = "" if spread.std is None else f" ± {100 * spread.std:.2f}"
    return f"{100 * spread.mean:.2f}{deviation} % [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _estimate(estimate: Estimate) -> str:
    return f"{estimate.value:.1%} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _points(estimate: Estimate) -> str:
    if not math.isfinite(estimate.low):
        return f"{100 * estimate.value:+.1f} [all agree: unknown]"
    return f"{100 * estimate.value:+.1f} [{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"


def charts(comparison: Comparison) -> list[Chart]:
    """pass@k against k, where there were several passes."""
    lines: Sequence[Series] = [_curve(arm) for arm in comparison.arms if len(arm.pass_at) > 1]
    if not lines:
        return []
    return [Chart("Tasks completed in at least one of k runs", "k, runs per task", "pass@k", tuple(lines), True)]


def _curve(arm: ArmSummary) -> Series:
    ks = sorted(arm.pass_at)
    points = [arm.pass_at[k] for k in ks]
    band = tuple((one.low, one.high) for one in points)
    return Series(arm.name, tuple(map(float, ks)), tuple(one.value for one in points), band)
