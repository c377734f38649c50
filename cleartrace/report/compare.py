"""Compare arms over seeds: mean curves with 95 % bands against generated tokens, as a page and as SVG files."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cleartrace.evaluate.stats import mean_interval
from cleartrace.report.build import write_whole
from cleartrace.report.chart import Chart, Series, render_svg
from cleartrace.report.html import read_asset, render_page, view_chart
from cleartrace.report.load import ReportError

COLUMNS = ("run", "arm", "seed", "step", "generated_tokens_cum", "split", "metric", "value")
PERCENT_WORDS = ("acc", "rate", "ratio", "frac")


@dataclass(frozen=True)
class Measurement:
    """One line of a comparison CSV."""

    run: str
    arm: str
    seed: str
    step: int
    tokens: float
    split: str
    metric: str
    value: float


@dataclass(frozen=True)
class ArmResult:
    """An arm at its last step that all its seeds reached. `difference` is paired by seed with the first arm."""

    arm: str
    seeds: int
    step: int
    tokens: float
    mean: float
    low: float
    high: float
    difference: tuple[float, float, float] | None


@dataclass(frozen=True)
class Panel:
    """One metric of one split."""

    chart: Chart
    results: tuple[ArmResult, ...]


def build_comparison(csv_files: Path | Iterable[Path], out_html: Path, svg_dir: Path | None = None) -> Path:
    """Write the comparison page, and with `svg_dir` one standalone SVG per metric and split.

    Args:
        csv_files: a folder whose *.csv are read, or the files themselves; columns as in `COLUMNS`.

    Raises:
        ReportError: no file, a missing column, a cell that is no number, or a measurement given twice.
    """
    panels = compare(read_measurements(csv_files))
    page = render_page(
        "compare.html.j2",
        styles=("style.css", "chart.css"),
        scripts=("text.js", "chart.js"),
        panels=[(panel, view_chart(panel.chart)) for panel in panels],
        title=Path(out_html).stem,
    )
    Path(out_html).parent.mkdir(parents=True, exist_ok=True)
    write_whole(Path(out_html), page)
    for panel in panels if svg_dir else ():
        svg_dir = Path(svg_dir or ".")
        svg_dir.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^a-z0-9]+", "-", panel.chart.title.lower()).strip("-")
        write_whole(svg_dir / f"{name}.svg", render_svg(panel.chart, css=read_asset("chart.css"), legend=True) + "\n")
    return Path(out_html)


def read_measurements(csv_files: Path | Iterable[Path]) -> list[Measurement]:
    """All rows of the given CSV files; see `build_comparison` for the errors."""
    is_folder = isinstance(csv_files, (str, Path))
    paths = sorted(Path(csv_files).glob("*.csv")) if is_folder else [Path(p) for p in csv_files]  # type: ignore[union-attr]
    if not paths:
        raise ReportError(f"no CSV file to compare in {csv_files}")
    rows: list[Measurement] = []
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if missing := set(COLUMNS) - set(reader.fieldnames or ()):
                raise ReportError(
                    f"{path}: missing columns {', '.join(sorted(missing))}; expected {', '.join(COLUMNS)}"
                )
            rows += [_measurement(path, reader.line_num, row) for row in reader]
    _refuse_repeats(rows)
    return rows


def compare(rows: Sequence[Measurement]) -> list[Panel]:
    """One panel per split and metric, arms in order of first appearance."""
    return [
        _panel(split, metric, [r for r in rows if (r.split, r.metric) == (split, metric)])
        for split, metric in dict.fromkeys((r.split, r.metric) for r in rows)
    ]


def _measurement(path: Path, line: int, row: dict[str, str]) -> Measurement:
    try:
        value = Measurement(
            row["run"], row["arm"], row["seed"], int(row["step"]), float(row["generated_tokens_cum"]),
            row["split"], row["metric"], float(row["value"]),
        )  # fmt: skip
    except (TypeError, ValueError) as error:
        raise ReportError(f"{path}, line {line}: {error}") from None
    if not (math.isfinite(value.value) and math.isfinite(value.tokens)):
        raise ReportError(f"{path}, line {line}: value and generated_tokens_cum must be finite")
    return value


def _refuse_repeats(rows: Sequence[Measurement]) -> None:
    seen: dict[tuple[str, str, int, str, str], str] = {}
    for r in rows:
        key = (r.arm, r.seed, r.step, r.split, r.metric)
        if key in seen:
            raise ReportError(
                f"arm {r.arm}, seed {r.seed}, step {r.step}, {r.split} {r.metric} is given twice (runs {seen[key]} "
                f"and {r.run}); a seed counted twice would narrow the band"
            )
        seen[key] = r.run


def _panel(split: str, metric: str, rows: Sequence[Measurement]) -> Panel:
    arms = {arm: [r for r in rows if r.arm == arm] for arm in dict.fromkeys(r.arm for r in rows)}
    percent = any(word in metric.lower() for word in PERCENT_WORDS) and all(0 <= r.value <= 1 for r in rows)
    series = tuple(_series(arm, items) for arm, items in arms.items())
    chart = Chart(f"{split} {metric}", "generated tokens, mean over seeds", metric, series, percent)
    first = next(iter(arms.values()))
    return Panel(chart, tuple(_result(arm, items, first) for arm, items in arms.items()))


def _common_steps(rows: Sequence[Measurement]) -> list[int]:
    """Steps that every seed of the arm reached: a mean over changing seeds would bend the curve."""
    by_seed: dict[str, set[int]] = {}
    for r in rows:
        by_seed.setdefault(r.seed, set()).add(r.step)
    steps = sorted(set.intersection(*by_seed.values()))
    if not steps:
        raise ReportError(f"the seeds of arm {rows[0].arm} have no step of {rows[0].metric} in common")
    return steps


def _series(arm: str, rows: Sequence[Measurement]) -> Series:
    """Points are aligned by step: x is the mean of the tokens the seeds had generated by then."""
    x, y, band = [], [], []
    for step in _common_steps(rows):
        here = [r for r in rows if r.step == step]
        mean, low, high = mean_interval([r.value for r in here])
        x.append(sum(r.tokens for r in here) / len(here))
        y.append(mean)
        band.append((low, high))
    seeds = len({r.seed for r in rows})
    return Series(f"{arm} ({seeds} seed{'s' * (seeds > 1)})", tuple(x), tuple(y), tuple(band))


def _result(arm: str, rows: Sequence[Measurement], first: Sequence[Measurement]) -> ArmResult:
    step = _common_steps(rows)[-1]
    here = {r.seed: r for r in rows if r.step == step}
    reference = {r.seed: r.value for r in first if r.step == step} if arm != first[0].arm else {}
    paired = [here[seed].value - reference[seed] for seed in here if seed in reference]
    mean, low, high = mean_interval([r.value for r in here.values()])
    tokens = sum(r.tokens for r in here.values()) / len(here)
    return ArmResult(arm, len(here), step, tokens, mean, low, high, mean_interval(paired) if paired else None)
