"""Line charts as SVG text, without a plotting library: a chart costs 2-5 kB and works offline.

Colours are CSS classes (`s0`, `s1`, ...; see assets/chart.css), each paired with a dash pattern, so that a
series can be told apart without colour. The hover layer reads the `data-series` attribute.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 18, 14, 42
MAX_MARKERS = 40


@dataclass(frozen=True)
class Series:
    """Points of one line. `band` holds (low, high) per point; infinite bounds are not drawn."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    band: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True)
class Chart:
    """A chart; with `percent`, y values are shares in [0, 1] and are shown as percentages."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    percent: bool = False


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round values (1, 2, 2.5 or 5 times a power of ten) that cover [low, high]."""
    if high - low < 1e-9 * max(abs(low), abs(high), 1.0):  # too close to be told apart once rounded
        pad = abs(low) * 0.1 if abs(low) > 1e-6 else 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def format_number(value: float, *, percent: bool = False) -> str:
    """`12.5%`, `0.25`, `1,234` below ten thousand, then `12k`, `3.4M`."""
    if percent:
        return f"{value * 100:.4g}%"
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if suffix == 'k' else limit):.3g}{suffix}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def render_svg(chart: Chart, *, css: str = "", height: int = HEIGHT, legend: bool = False) -> str:
    """The chart as one `<svg>` element. With `css` it is a complete document of its own."""
    x_ticks, y_ticks = _ticks(chart)
    places = _legend_places(chart.series) if legend else []
    x = _Scale(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT)
    y = _Scale(y_ticks[0], y_ticks[-1], height - BOTTOM, TOP + (places[-1][1] if places else 0))
    body = [
        f"<title>{escape(chart.title)}</title><desc>{escape(describe(chart))}</desc>",
        f"<style>{css}</style>" if css else "",
        f'<rect class="bg" width="{WIDTH}" height="{height}"/>' if css else "",
        *_axes(chart, x, y, x_ticks, y_ticks, height),
        *(_band(series, i, x, y) for i, series in enumerate(chart.series) if series.band),
        *(_line(series, i, x, y) for i, series in enumerate(chart.series)),
        *_legend(chart.series, places),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {WIDTH} {height}" role="img" tabindex="0" '
        f'data-series="{escape(_hover_data(chart, x, y))}">' + "\n".join(part for part in body if part) + "</svg>"
    )


def describe(chart: Chart) -> str:
    """The chart in a sentence per series, for screen readers."""
    parts = [f"{chart.y_label} against {chart.x_label}."]
    for series in chart.series:
        ends = [format_number(v, percent=chart.percent) for v in (series.y[0], series.y[-1])]
        first, last = format_number(series.x[0]), format_number(series.x[-1])
        parts.append(f"{series.label}: {ends[0]} at {first}, {ends[1]} at {last}.")
    return " ".join(parts)


def _ticks(chart: Chart) -> tuple[list[float], list[float]]:
    xs = [v for s in chart.series for v in s.x]
    ys = [v for s in chart.series for v in s.y]
    ys += [b for s in chart.series for pair in s.band or () for b in pair if math.isfinite(b)]
    if chart.percent:
        # Room for the data, but a share is never drawn on an axis that leaves [0, 1].
        ys = [min(max(v, 0.0), 1.0) for v in ys]
    low = min(ys)
    if low > 0 and low < 0.6 * max(ys):
        low = 0.0  # An axis that nearly reaches zero should: otherwise changes look larger than they are.
    ticks = nice_ticks(low, max(ys))
    if chart.percent:
        ticks = [t for t in ticks if -1e-9 <= t <= 1 + 1e-9]
    return _x_ticks(min(xs), max(xs)), ticks


def _x_ticks(low: float, high: float) -> list[float]:
    ticks = nice_ticks(low, high, 7)
    whole = [t for t in ticks if t == int(t)]
    return whole if len(whole) > 1 and whole[0] <= low and whole[-1] >= high else ticks


def _axes(
    chart: Chart, x: _Scale, y: _Scale, x_ticks: Sequence[float], y_ticks: Sequence[float], height: int
) -> list[str]:
    base = height - BOTTOM
    parts = []
    for tick in y_ticks:
        label = format_number(tick, percent=chart.percent)
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick)}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y(tick) + 3.5:.1f}" text-anchor="end">{label}</text>')
    for tick in x_ticks:
        text = format_number(tick)
        parts.append(f'<text class="tick" x="{x(tick)}" y="{base + 15}" text-anchor="middle">{text}</text>')
    middle, centre = (LEFT + WIDTH - RIGHT) / 2, (TOP + base) / 2
    parts.append(f'<path class="axis" d="M{LEFT} {base}H{WIDTH - RIGHT}"/>')
    parts.append(
        f'<text class="label" x="{middle}" y="{height - 8}" text-anchor="middle">{escape(chart.x_label)}</text>'
    )
    place = f'transform="translate(11 {centre}) rotate(-90)" text-anchor="middle"'
    parts.append(f'<text class="label" {place}>{escape(chart.y_label)}</text>')
    return parts


def _line(series: Series, index: int, x: _Scale, y: _Scale) -> str:
    points = [(x(a), y(b)) for a, b in zip(series.x, series.y, strict=True)]
    path = "M" + "L".join(f"{a} {b}" for a, b in points)
    marks = points if len(points) <= MAX_MARKERS else [points[-1]]
    dots = "".join(f'<circle cx="{a}" cy="{b}" r="2.4"/>' for a, b in marks)
    return f'<g class="s{index % 6}"><path class="line" d="{path}"/>{dots}</g>'


def _band(series: Series, index: int, x: _Scale, y: _Scale) -> str:
    edges = [(a, *b) for a, b in zip(series.x, series.band or (), strict=True) if all(map(math.isfinite, b))]
    if len(edges) < 2:
        return ""
    clip = [(x(a), y(max(low, y.low)), y(min(high, y.high))) for a, low, high in edges]
    there = "L".join(f"{a} {high}" for a, _, high in clip)
    back = "L".join(f"{a} {low}" for a, low, _ in reversed(clip))
    return f'<path class="band s{index % 6}" d="M{there}L{back}Z"/>'


def _legend_places(series: Sequence[Series]) -> list[tuple[float, float]]:
    """(x, y) of each legend entry, wrapped to the width; text width is estimated, as SVG cannot measure it here."""
    places, left, top = [], float(LEFT), 12.0
    for item in series:
        width = 40 + 6.2 * len(item.label)
        if left > LEFT and left + width > WIDTH:
            left, top = float(LEFT), top + 16
        places.append((left, top))
        left += width
    return places


def _legend(series: Sequence[Series], places: Sequence[tuple[float, float]]) -> list[str]:
    parts = []
    for index, ((left, top), item) in enumerate(zip(places, series, strict=False)):
        parts.append(f'<g class="s{index % 6}"><path class="line" d="M{left:.0f} {top:.0f}h20"/></g>')
        parts.append(f'<text class="legend" x="{left + 25:.0f}" y="{top + 3.5}">{escape(item.label)}</text>')
    return parts


def _hover_data(chart: Chart, x: _Scale, y: _Scale) -> str:
    lines = [
        {
            "label": s.label,
            "points": [
                [x(a), y(b), f"{a:,.10g}", f"{b * 100:.2f}%" if chart.percent else f"{b:,.6g}"]
                for a, b in zip(s.x, s.y, strict=True)
            ],
        }
        for s in chart.series
    ]
    return json.dumps({"xLabel": chart.x_label, "lines": lines}, separators=(",", ":"))
