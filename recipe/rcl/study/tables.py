"""Tables and picture of the study, from its CSVs alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, median

from cleartrace.evaluate.stats import mean_interval, wilson_interval
from recipe.rcl.study.arms import ARMS, BY_NAME
from recipe.rcl.study.credit import LARGE, SMALL
from recipe.rcl.study.runs import CALLS, GRID, RUNS, read

Rows = dict[int, dict[str, str]]
PICTURE = Path("docs/assets/rcl-ruleworld.svg")
DRAWN = ("plain", "mini-batch", "grouped-rollouts", "auxiliary", "failure-replay", "all", "paired")
SOLVED = 0.8
"""Share of the success under all rules and nothing else at which a world counts as learned."""


def tables() -> str:
    return "\n\n".join([arm_table(), acceptance_table(), credit_table()])


def rows_of(arm: str) -> Rows:
    return {int(row["seed"]): row for row in read(f"arm-{arm}")}


def arm_table() -> str:
    """Markdown: every arm, and its difference to the plain loop paired by seed (95 % Student intervals)."""
    plain = rows_of("plain")
    lines = [
        f"| arm | seeds | iterations | model calls | entries | {RUNS} runs | minus plain | mean over the curve, minus "
        f"plain | {CALLS} calls, minus plain | runs to {SOLVED:.0%} of the ceiling: reached, median |",
        "|---" * 10 + "|",
    ]
    for arm in ARMS:
        rows = rows_of(arm.name)
        if rows:
            shared = sorted(set(rows) & set(plain))
            cells = [
                arm.name,
                str(len(rows)),
                *(
                    f"{fmean(float(row[key]) for row in rows.values()):.0f}"
                    for key in ("iterations", "calls", "entries")
                ),
                _share([float(row[f"at_{RUNS}"]) for row in rows.values()]),
                *(_difference(rows, plain, shared, of) for of in (_end, _mean, _by_calls)),
                _reached(rows),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _end(row: dict[str, str]) -> float:
    return float(row[f"at_{RUNS}"])


def _mean(row: dict[str, str]) -> float:
    return fmean(float(row[f"at_{runs}"]) for runs in GRID)


def _by_calls(row: dict[str, str]) -> float:
    return float(row["at_calls"])


def _share(values: Sequence[float]) -> str:
    mean, low, high = mean_interval(values)
    return f"{100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _difference(rows: Rows, plain: Rows, seeds: Sequence[int], of: Callable[[dict[str, str]], float]) -> str:
    if rows is plain or not seeds or rows == plain:
        return ""
    mean, low, high = mean_interval([of(rows[seed]) - of(plain[seed]) for seed in seeds])
    mark = " (better)" if low > 0 else " (worse)" if high < 0 else ""
    return f"{100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]{mark}"


def _reached(rows: Rows) -> str:
    """Share of the seeds that got there within the budget, and the median number of runs over all seeds."""
    needed = [
        next((float(runs) for runs in GRID if float(row[f"at_{runs}"]) >= SOLVED * float(row["ceiling"])), float("inf"))
        for row in rows.values()
    ]
    share = sum(one <= RUNS for one in needed) / len(needed)
    middle = median(needed)
    return f"{share:.0%}, {'more' if middle > RUNS else f'{middle:.0f}'}"


def acceptance_table() -> str:
    """Markdown: A16."""
    lines = [
        "| luck of the two sides | policy | seeds | success | agent runs | harmful edits kept | useful edits kept | "
        "paired is at least as good |",
        "|---" * 8 + "|",
    ]
    names = {"always": "always, equal iterations", "long": "always, equal runs", "paired": "paired"}
    rows = read("acceptance")
    for coupling, luck in (("1.0", "common"), ("0.0", "drawn anew")):
        here = [row for row in rows if row["coupling"] == coupling]
        for key, name in names.items() if here else ():
            cells = [luck, name, str(len(here)), _share([float(row[f"{key}_success"]) for row in here])]
            cells.append(f"{fmean(float(row[f'{key}_runs']) for row in here):.0f}")
            for kind in ("harmful", "useful"):
                kept, judged = (sum(int(row[f"{key}_{one}"]) for row in here) for one in (f"kept_{kind}", kind))
                cells.append(_rate(kept, judged))
            wins = sum(float(row["paired_success"]) >= float(row[f"{key}_success"]) for row in here)
            cells.append("" if key == "paired" else _rate(wins, len(here)))
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _rate(part: int, whole: int) -> str:
    if not whole:
        return "none"
    low, high = wilson_interval(part, whole)
    return f"{part} of {whole}, {100 * part / whole:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def credit_table() -> str:
    """Markdown: A17."""
    lines = [
        f"| luck | agent runs | method | entries | interval holds the true effect | sign of the mean right, effect >= "
        f"{LARGE} | interval excludes 0 on the right side | useless entries: interval covers 0 |",
        "|---" * 8 + "|",
    ]
    rows = read("credit")
    for key in sorted({(row["coupling"], int(row["budget"]), row["method"]) for row in rows}, reverse=True):
        here = [row for row in rows if (row["coupling"], int(row["budget"]), row["method"]) == key]
        figures = [tuple(float(row[one]) for one in ("true", "mean", "low", "high")) for row in here]
        large = [one for one in figures if abs(one[0]) >= LARGE]
        useless = [one for one in figures if abs(one[0]) < SMALL]
        cells = ["common" if key[0] == "1.0" else "drawn anew", str(key[1]), key[2].replace("_", "-"), str(len(here))]
        cells.append(_rate(sum(low <= true <= high for true, _, low, high in figures), len(figures)))
        cells.append(_rate(sum(true * mean > 0 for true, mean, _, _ in large), len(large)))
        cells.append(_rate(sum(low > 0 if true > 0 else high < 0 for true, _, low, high in large), len(large)))
        cells.append(_rate(sum(low <= 0 <= high for _, _, low, high in useless), len(useless)))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw() -> str:
    """Mean test success against agent runs, with 95 % bands. Returns where it is."""
    from cleartrace.report.chart import Chart, Series, render_svg

    series = []
    for name in DRAWN:
        rows = rows_of(name)
        if len(rows) > 1:
            at = [mean_interval([float(row[f"at_{runs}"]) for row in rows.values()]) for runs in GRID]
            band = tuple((low, high) for _, low, high in at)
            series.append(Series(BY_NAME[name].name, tuple(map(float, GRID)), tuple(mean for mean, _, _ in at), band))
    if not series:
        return "There is nothing to draw yet."
    chart = Chart("RCL in the rule world", "agent runs", "chance to solve a test task", tuple(series), percent=True)
    css = (Path("cleartrace/report/assets") / "chart.css").read_text()
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(render_svg(chart, css=css, height=360, legend=True))
    return f"Picture: {PICTURE}"
