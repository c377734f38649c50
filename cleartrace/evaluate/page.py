"""A summary as files: summary.json, summary.csv, summary.html, and a table for the terminal."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from cleartrace.data.files import finite, write_json
from cleartrace.evaluate.summary import ArmSummary, Difference, Estimate, Summary
from cleartrace.report.build import write_whole
from cleartrace.report.chart import Chart, Series
from cleartrace.report.html import render_page, view_chart

TITLE = "Means over questions. Tokens and failed calls are per rollout. Spoiled: not solved."


def write_summary(summary: Summary, folder: Path) -> Path:
    """Write the three files, each in one step, and return the page's path."""
    write_json(folder / "summary.json", finite(summary.as_dict()))
    write_whole(folder / "summary.csv", _csv(summary))
    page = render_page(
        "evaluation.html.j2",
        styles=("style.css", "chart.css"),
        scripts=("text.js", "chart.js"),
        title=folder.resolve().name,
        summary=summary,
        charts=[view_chart(chart) for chart in charts(summary)],
    )
    return write_whole(folder / "summary.html", page)


def charts(summary: Summary) -> list[Chart]:
    """pass@k and maj@k against k, per source; none where each question has one rollout."""
    found = []
    for source in dict.fromkeys(arm.source for arm in summary.arms):
        mine = [arm for arm in summary.arms if arm.source == source and arm.n > 1]
        series = tuple(
            line
            for arm in mine
            for line in (
                _curve(f"pass@k, rollback {arm.arm}", arm.pass_at),
                _curve(f"maj@k, rollback {arm.arm}", arm.maj_at),
            )
        )
        if series:
            found.append(Chart(source, "k, samples per question", "solved", series, percent=True))
    return found


def _curve(label: str, at: Mapping[int, Estimate]) -> Series:
    ks = sorted(at)
    return Series(
        label, tuple(map(float, ks)), tuple(at[k].value for k in ks), tuple((at[k].low, at[k].high) for k in ks)
    )


def summary_table(summary: Summary) -> Table:
    """What the terminal shows; it fits 80 columns."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=TITLE, title_justify="left", title_style="")
    table.add_column("source", max_width=12, overflow="ellipsis", no_wrap=True)
    widths = {"rollback": 8, "avg@n, 95 %": 19, "pass@n": 6, "maj@n": 6, "tokens": 6, "failed": 6, "spoiled": 7}
    for name, width in widths.items():
        table.add_column(name, justify="left" if name == "rollback" else "right", min_width=width, no_wrap=True)
    for arm in summary.arms:
        table.add_row(*_cells(arm))
    for difference in summary.differences:
        table.add_row(*_difference_cells(difference))
    return table


def _cells(arm: ArmSummary) -> list[str]:
    top = arm.n
    return [
        arm.source,
        arm.arm,
        f"{arm.avg.value:.1%} ({arm.avg.low:.0%} - {arm.avg.high:.0%})",
        f"{arm.pass_at[top].value:.1%}",
        f"{arm.maj_at[top].value:.1%}",
        f"{arm.per_rollout(arm.cost.generated_tokens):,.0f}",
        f"{arm.per_rollout(arm.cost.failed_calls):.2f}",
        str(arm.lost + arm.infra + arm.ungraded),
    ]


def _difference_cells(difference: Difference) -> list[str]:
    avg, ratio = difference.avg, difference.tokens_ratio
    known = math.isfinite(avg.low)
    interval = f"({avg.low * 100:+.0f} - {avg.high * 100:+.0f})" if known else "(unknown)"
    tokens = "" if ratio is None else f"x {ratio:.2f}"
    return [difference.source, "on - off", f"{avg.value * 100:+.1f} {interval}", "", "", tokens, "", ""]


CSV_HEAD = (
    "source", "rollback", "questions", "rollouts", "n", "metric", "k", "value", "low", "high",
)  # fmt: skip


def _csv(summary: Summary) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for arm in summary.arms:
        head = [arm.source, arm.arm, arm.questions, arm.rollouts, arm.n]
        for name, at in (("avg", {arm.n: arm.avg}), ("pass", arm.pass_at), ("maj", arm.maj_at)):
            writer.writerows([*head, name, k, e.value, e.low, e.high] for k, e in sorted(at.items()))
        counts = {name: getattr(arm, name) for name in ("missing", "lost", "infra", "ungraded", "retried")}
        for name, value in {**counts, **vars(arm.cost), "graded_acc": arm.graded_acc}.items():
            writer.writerow([*head, name, "", "" if value is None else value, "", ""])
    return text.getvalue()
