"""Put a report page together: template, styles, scripts, data. No file of it is loaded from anywhere else."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from cleartrace.report import names
from cleartrace.report.chart import Chart, Series, format_number, render_svg
from cleartrace.report.load import Run
from cleartrace.report.pack import pack
from cleartrace.report.summary import Summary, hide_secrets, series_of

PAGE_SCRIPTS = ("text.js", "chart.js", "data.js", "list.js", "repair.js", "detail.js", "main.js")


@dataclass(frozen=True)
class ChartView:
    """A drawn chart with its title and legend labels."""

    title: str
    unit: str
    labels: tuple[str, ...]
    svg: Markup


def render_html(run: Run, summary: Summary) -> str:
    """The whole report page. Everything that a model or a config wrote is escaped or base64."""
    packed = pack(run.records)
    notes = [*run.notes, *summary.notes]
    if packed.stride > 1:
        notes.append(
            f"The browser holds {packed.rows:,} of {len(run.records):,} trajectories (1 in {packed.stride}), "
            "to stay quick to open; every number above counts all of them."
        )
    return render_page(
        "report.html.j2",
        styles=("style.css", "browser.css", "chart.css"),
        scripts=PAGE_SCRIPTS,
        run=run,
        summary=summary,
        notes=notes,
        charts=[view_chart(chart) for chart in curves(run)],
        packed=packed,
        config_text=yaml.safe_dump(hide_secrets(run.config), sort_keys=False, allow_unicode=True) if run.config else "",
    )


def render_page(template: str, *, styles: tuple[str, ...], scripts: tuple[str, ...], **values: Any) -> str:
    """Render a template with its styles and scripts inlined and nothing else allowed by its CSP."""
    css = "\n".join(read_asset(name) for name in styles)
    # One scope for all scripts, and none of their names on `window`.
    js = '(() => {\n"use strict";\n' + "\n".join(read_asset(name) for name in scripts) + "\n})();\n"
    env = Environment(loader=FunctionLoader(read_asset), autoescape=True, undefined=StrictUndefined)
    env.filters["number"] = format_number
    env.filters["percent"] = lambda value: f"{value * 100:.1f}%"
    return env.get_template(template).render(css=Markup(css), js=Markup(js), csp=content_policy(css, js), **values)


def content_policy(css: str, js: str) -> str:
    """Only these exact styles and scripts may run; nothing may be loaded, sent or framed."""
    own = f"script-src '{_sha256(js)}'; style-src '{_sha256(css)}'"
    return f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"


def read_asset(name: str) -> str:
    """Text of a file in assets/."""
    return (files("cleartrace.report") / "assets" / name).read_text(encoding="utf-8")


def curves(run: Run) -> list[Chart]:
    """The charts of names.CHARTS that have data, with the series that have data."""
    charts = []
    for spec in names.CHARTS:
        series = []
        for label, metric in spec.series.items():
            if points := series_of(run, metric):
                steps, values = zip(*points, strict=True)
                series.append(Series(label, steps, values))
        if series:
            charts.append(Chart(spec.title, "training step", spec.unit, tuple(series), spec.percent))
    return charts


def view_chart(chart: Chart) -> ChartView:
    """Draw a chart for a page; its legend is HTML, so that it wraps on narrow screens."""
    return ChartView(chart.title, chart.y_label, tuple(s.label for s in chart.series), Markup(render_svg(chart)))


def _sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
