"""Figure 5 as SVG text, in the house style (see cleartrace/report/chart.py)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from cleartrace.probe.figure5 import METHODS, Point
from cleartrace.probe.paper import NOTE, paper_points
from cleartrace.report.chart import format_number, nice_ticks
from cleartrace.report.html import read_asset

PANEL, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, LEGEND = 340, 280, 56, 16, 34, 44, 30
RADIUS = 5.5
SHAPES = {
    "Base": "circle",
    "RL": "square",
    "DA-SFT": "up",
    "DA-RL": "down",
    "Ours": "diamond",
}
STYLE = (
    "".join(f".m{i} {{ fill: var(--s{i}); stroke: var(--s{i}); }} " for i in range(len(METHODS)))
    + ".read { fill: none; stroke-width: 1.4; opacity: 0.75; } "
    ".whisker { fill: none; stroke-width: 1.6; opacity: 0.65; } "
    ".panel { fill: var(--chart-ink); font-size: 13px; font-weight: 600; }"
)


@dataclass(frozen=True)
class _Frame:
    """Where a panel lies and what its axes span."""

    left: float
    x_ticks: list[float]
    y_ticks: list[float]

    def x(self, value: float) -> float:
        low, high = self.x_ticks[0], self.x_ticks[-1]
        share = (min(max(value, low), high) - low) / (high - low)
        return round(self.left + LEFT + share * (PANEL - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        share = (min(max(value, low), high) - low) / (high - low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)


def draw(found: Sequence[Point], *, y_label: str = "task score, %", paper: bool = False) -> str:
    """A whole SVG document, one panel per model in the order of the points.

    Args:
        paper: draw hollow markers at the points of the same model in the paper's figure.
    """
    models = list(dict.fromkeys(point.model for point in found))
    width, height = PANEL * len(models), HEIGHT + LEGEND
    panels = [_panel(model, PANEL * index, found, y_label, paper) for index, model in enumerate(models)]
    shown = paper and any(paper_points(model) for model in models)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {width} {height}" role="img">\n'
        f"<title>Selection accuracy against {escape(y_label)}</title><desc>{escape(describe(found))}</desc>\n"
        f'<style>{read_asset("chart.css")}{STYLE}</style><rect class="bg" width="{width}" height="{height}"/>\n'
        + "\n".join([*panels, _legend(shown)])
        + "\n</svg>\n"
    )


def describe(found: Sequence[Point]) -> str:
    """The figure in one sentence per point, for screen readers."""
    return " ".join(
        f"{point.model}, {point.method}: selects {point.x:.1f}%, scores {point.y:.1f}%, {point.seeds} seeds."
        for point in found
    )


def marker(shape: str, x: float, y: float, style: str) -> str:
    """One marker centred at a place."""
    r = RADIUS
    if shape == "circle":
        return f'<circle class="{style}" cx="{x}" cy="{y}" r="{r}"/>'
    corners = {
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "up": ((0, -1.15), (1.1, 0.85), (-1.1, 0.85)),
        "down": ((0, 1.15), (1.1, -0.85), (-1.1, -0.85)),
        "diamond": ((0, -1.3), (1.15, 0), (0, 1.3), (-1.15, 0)),
    }[shape]
    path = " ".join(f"{x + a * r:.1f},{y + b * r:.1f}" for a, b in corners)
    return f'<polygon class="{style}" points="{path}"/>'


def _panel(model: str, left: float, found: Sequence[Point], y_label: str, paper: bool) -> str:
    mine = [point for point in found if point.model == model]
    theirs = paper_points(model) if paper else []
    frame = _frame(left, [*mine, *theirs])
    base = HEIGHT - BOTTOM
    parts = [f'<text class="panel" x="{left + LEFT}" y="18">{escape(model)}</text>']
    for tick in frame.y_ticks:
        y = frame.y(tick)
        parts.append(f'<path class="grid" d="M{left + LEFT} {y}H{left + PANEL - RIGHT}"/>')
        label = format_number(tick)
        parts.append(f'<text class="tick" x="{left + LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{label}</text>')
    for tick in frame.x_ticks:
        label = format_number(tick)
        parts.append(f'<text class="tick" x="{frame.x(tick)}" y="{base + 15}" text-anchor="middle">{label}</text>')
    middle = left + (LEFT + PANEL - RIGHT) / 2
    parts.append(f'<path class="axis" d="M{left + LEFT} {base}H{left + PANEL - RIGHT}"/>')
    parts.append(
        f'<text class="label" x="{middle}" y="{base + 33}" text-anchor="middle">held-out selection accuracy, %</text>'
    )
    place = f'transform="translate({left + 12} {(TOP + base) / 2}) rotate(-90)" text-anchor="middle"'
    parts.append(f'<text class="label" {place}>{escape(y_label)}</text>')
    parts += [
        marker(SHAPES[point.method], frame.x(point.x), frame.y(point.y), _style(point, "read")) for point in theirs
    ]
    parts += [_drawn(point, frame) for point in mine]
    return "\n".join(parts)


def _frame(left: float, shown: Sequence[Point]) -> _Frame:
    def ends(name: str) -> list[float]:
        values = [getattr(point, name + end) for point in shown for end in ("", "_low", "_high")]
        # A bound beyond what a share can be would only squeeze the points together.
        return [min(max(value, 0.0), 100.0) for value in values if math.isfinite(value)]

    xs, ys = ends("x"), ends("y")
    x_ticks = [tick for tick in nice_ticks(min([45.0, *xs]), 100.0, 7) if tick <= 100]
    return _Frame(left, x_ticks, nice_ticks(min(ys), max(ys)))


def _drawn(point: Point, frame: _Frame) -> str:
    x, y = frame.x(point.x), frame.y(point.y)
    parts = []
    if math.isfinite(point.x_low) and math.isfinite(point.x_high):
        parts.append(
            f'<path class="{_style(point, "whisker")}" d="M{frame.x(point.x_low)} {y}H{frame.x(point.x_high)}"/>'
        )
    if math.isfinite(point.y_low) and math.isfinite(point.y_high):
        parts.append(
            f'<path class="{_style(point, "whisker")}" d="M{x} {frame.y(point.y_low)}V{frame.y(point.y_high)}"/>'
        )
    return "".join([*parts, marker(SHAPES[point.method], x, y, _style(point))])


def _style(point: Point, more: str = "") -> str:
    return f"m{METHODS.index(point.method)} {more}".strip()


def _legend(paper: bool) -> str:
    parts, left, y = [], 20.0, HEIGHT + 12
    for index, method in enumerate(METHODS):
        parts.append(marker(SHAPES[method], left, y, f"m{index}"))
        parts.append(f'<text class="legend" x="{left + 10:.0f}" y="{y + 4}">{method}</text>')
        left += 24 + 7.2 * len(method)
    if paper:
        parts.append(f'<text class="legend" x="{left:.0f}" y="{y + 4}">{escape(NOTE)}</text>')
    return "\n".join(parts)
