"""A probe as files: summary.json, picture.svg, summary.html, and tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from cleartrace.data.files import write_json
from cleartrace.probe.chart import marks, render_marks
from cleartrace.probe.manifest import Manifest
from cleartrace.probe.settings import ProbeSettings
from cleartrace.probe.summary import Control, Score, Share, Summary
from cleartrace.report.build import write_whole
from cleartrace.report.html import read_asset, render_page

PAGE = "summary.html"


def write_summary(summary: Summary, manifest: Manifest, settings: ProbeSettings) -> Path:
    """Write the files, each in one step, and return the page's path."""
    folder, title = settings.out, model_name(settings)
    about = {"model": title, "mode": settings.mode.value, "manifest_sha256": manifest.sha256, "seed": manifest.seed}
    left_out = {"held_out": manifest.held_out, "short": manifest.short}
    write_json(folder / "summary.json", {**about, **summary.as_dict(), "left_out": left_out})
    rows = marks(summary)
    write_whole(folder / "picture.svg", render_marks(rows, title, css=read_asset("chart.css")) + "\n")
    page = render_page(
        "probe.html.j2",
        styles=("style.css", "chart.css", "probe.css"),
        scripts=(),
        about=about,
        summary=summary,
        scores=(summary.overall, *summary.kinds, *summary.sources),
        manifest=manifest,
        picture=Markup(render_marks(rows, title)),
    )
    return write_whole(folder / PAGE, page)


def model_name(settings: ProbeSettings) -> str:
    """What a page calls the model."""
    given = settings.model
    return given.model.resolve().name if given.model else given.endpoint_model or given.endpoint or ""


def tables(summary: Summary) -> Group:
    """What the terminal shows; it fits 80 columns."""
    scores = [summary.overall, *_several(summary.kinds), *_several(summary.sources)]
    return Group(_score_table(scores), _control_table(summary.controls), *notes(summary))


def notes(summary: Summary) -> list[str]:
    """What a reader should know before believing the numbers."""
    whole = summary.overall
    counts = {
        "pairs are too long for the model and left out": summary.too_long,
        "asks have no answer yet: start the same command again": summary.missing,
        "asks were answered with neither or both letters and count as wrong": whole.invalid,
        "asks were refused by the endpoint and count as wrong": whole.refused,
    }
    return [f"{count:,} {what}." for what, count in counts.items() if count]


def _several(scores: Sequence[Score]) -> Sequence[Score]:
    return scores if len(scores) > 1 else ()


def _score_table(scores: Sequence[Score]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("pairs", max_width=14, overflow="ellipsis", no_wrap=True)
    for name in ("n", "first order, 95 %", "both orders, 95 %", "same", "first letter"):
        table.add_column(name, justify="right", no_wrap=True)
    for score in scores:
        letter = "" if score.first_letter is None else f"{score.first_letter:.0%}"
        cells = _share(score.first), _share(score.averaged), f"{score.consistency.value:.0%}", letter
        table.add_row(score.name, f"{score.n:,}", *cells)
    return table


def _control_table(controls: Sequence[Control]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("control", "accuracy, 95 %", "expected", "choice changed", "without"):
        table.add_column(name, justify="left" if name == "control" else "right", no_wrap=True)
    for control in controls:
        if control.accuracy is None or control.expected is None:
            table.add_row(control.name.value, "not asked", "", "", str(control.skipped))
            continue
        changed = "" if control.changed is None else f"{control.changed.value:.0%}"
        expected = f"{control.expected:.1%}" + ("" if control.holds else " !")
        table.add_row(control.name.value, _share(control.accuracy), expected, changed, str(control.skipped))
    return table


def _share(share: Share) -> str:
    return f"{share.value:.1%} ({share.low:.0%} - {share.high:.0%})"
