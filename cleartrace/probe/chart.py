"""Shares with their intervals, one line each, as SVG in the house style (see cleartrace/report/chart.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from cleartrace.probe.summary import Score, Share, Summary

WIDTH, LINE, TOP, BOTTOM, LABELS, VALUES = 560, 22, 22, 40, 190, 104
PLOT = WIDTH - LABELS - VALUES
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Mark:
    """One line of the chart. `expected`: what the share should be, drawn as a short bar; `colour`: class `s0`-`s5`."""

    label: str
    share: Share
    expected: float | None = None
    colour: int = 0


def marks(summary: Summary) -> list[Mark]:
    """All shares of a probe, from the whole to its parts and the controls."""
    whole = summary.overall
    found = [Mark("first order", whole.first), Mark("both orders", whole.averaged)]
    if whole.debiased is not None:
        found.append(Mark("both orders, debiased", whole.debiased))
    found += _parts(summary.kinds, "kind: ", 1) + _parts(summary.sources, "source: ", 2)
    names = {"blind": "control: no contexts", "swapped": "control: other answer"}
    found += [
        Mark(names[control.name.value], control.accuracy, control.expected, 5)
        for control in summary.controls
        if control.accuracy is not None
    ]
    return found


def render_marks(rows: Sequence[Mark], title: str, *, css: str = "") -> str:
    """The chart as one `<svg>` element; with `css` it is a document of its own."""
    height = TOP + LINE * len(rows) + BOTTOM
    base = height - BOTTOM
    body = [
        f"<title>{escape(title)}</title><desc>{escape(describe(rows))}</desc>",
        f"<style>{css}</style>" if css else "",
        f'<rect class="bg" width="{WIDTH}" height="{height}"/>' if css else "",
        *(f'<path class="grid" d="M{_x(tick)} {TOP - 6}V{base}"/>' for tick in TICKS),
        f'<path class="axis" d="M{_x(0.5)} {TOP - 6}V{base}"/>',
        *(
            f'<text class="tick" x="{_x(tick)}" y="{base + 16}" text-anchor="middle">{tick:.0%}</text>'
            for tick in TICKS
        ),
        f'<text class="label" x="{_x(0.5)}" y="{height - 6}" text-anchor="middle">pairs with the right context</text>',
        *(_line(mark, TOP + LINE * index + LINE / 2) for index, mark in enumerate(rows)),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {WIDTH} {height}" role="img">'
        + "\n".join(part for part in body if part)
        + "</svg>"
    )


def describe(rows: Sequence[Mark]) -> str:
    """The chart in one sentence per line, for screen readers."""
    return " ".join(
        f"{mark.label}: {mark.share.value:.1%}, {mark.share.low:.1%} to {mark.share.high:.1%}, {mark.share.n} pairs."
        for mark in rows
    )


def _parts(scores: Sequence[Score], head: str, colour: int) -> list[Mark]:
    """Nothing for a single part, which is the whole again."""
    return [Mark(head + score.name, score.averaged, None, colour) for score in scores] if len(scores) > 1 else []


def _line(mark: Mark, y: float) -> str:
    share = mark.share
    expected = ""
    if mark.expected is not None:
        expected = f'<path class="axis" d="M{_x(mark.expected)} {y - 7}V{y + 7}"/>'
    label = mark.label if len(mark.label) <= 28 else mark.label[:27] + "…"
    number = f"{share.value:.1%} (n = {share.n:,})"
    return (
        f'<text class="tick" x="{LABELS - 10}" y="{y + 4}" text-anchor="end">{escape(label)}</text>{expected}'
        f'<g class="s{mark.colour}"><path class="line" style="stroke-dasharray:none" '
        f'd="M{_x(share.low)} {y}H{_x(share.high)}"/><circle cx="{_x(share.value)}" cy="{y}" r="4"/></g>'
        f'<text class="tick" x="{WIDTH - VALUES + 10}" y="{y + 4}">{number}</text>'
    )


def _x(share: float) -> float:
    return round(LABELS + share * PLOT, 1)
