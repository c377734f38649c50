"""Arms compared over seeds."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from cleartrace.report.compare import COLUMNS, build_comparison, compare, read_measurements
from cleartrace.report.load import ReportError

VALUES = {("plain", 0): (0.2, 0.4), ("plain", 1): (0.3, 0.5), ("saar", 0): (0.2, 0.7), ("saar", 1): (0.3, 0.9)}


def write_csv(folder: Path, extra: str = "") -> Path:
    lines = [
        f"{arm}-{seed},{arm},{seed},{step},{(step + 1) * 1000 + seed * 100},val,acc,{value}"
        for (arm, seed), values in VALUES.items()
        for step, value in enumerate(values)
    ]
    path = folder / "all.csv"
    path.write_text(",".join(COLUMNS) + "\n" + "\n".join(lines) + "\n" + extra)
    return path


def test_means_bands_and_paired_difference(tmp_path: Path) -> None:
    write_csv(tmp_path)
    (panel,) = compare(read_measurements(tmp_path))
    plain, saar = panel.chart.series
    # At 1100 tokens seed 0 is a tenth of its way from 0.2 to 0.4; at 2000 seed 1 lacks a tenth of its own.
    assert plain.x == (1100.0, 2000.0) and plain.y == pytest.approx((0.26, 0.44)) and panel.chart.percent
    assert plain.band is not None
    assert plain.band[0] == pytest.approx((0.26 - 12.706 * 0.04, 0.26 + 12.706 * 0.04), abs=1e-6)
    assert (panel.results[0].tokens_low, panel.results[0].tokens_high) == (2000.0, 2100.0)
    assert panel.results[0].difference is None
    assert panel.results[1].difference == pytest.approx((0.35, 0.35 - 12.706 * 0.05, 0.35 + 12.706 * 0.05), abs=1e-6)
    assert saar.label == "saar (2 seeds)"


def test_the_last_measurement_of_each_seed_counts_whatever_its_step(tmp_path: Path) -> None:
    write_csv(tmp_path, "saar-0,saar,0,2,2150,val,acc,1.0\n")
    (panel,) = compare(read_measurements(tmp_path))
    assert panel.chart.series[1].x == (1100.0, 2000.0, 2100.0)
    assert panel.results[1].mean == pytest.approx((1.0 + 0.9) / 2)


def test_curves_end_where_the_first_seed_ends(tmp_path: Path) -> None:
    write_csv(tmp_path, "saar-0,saar,0,2,9000,val,acc,1.0\n")
    (panel,) = compare(read_measurements(tmp_path))
    assert panel.chart.series[1].x[-1] == 2100.0


def test_seeds_without_a_common_range_are_refused(tmp_path: Path) -> None:
    rows = ["a-0,a,0,0,100,val,acc,0.5", "a-1,a,1,0,200,val,acc,0.5"]
    (tmp_path / "a.csv").write_text("\n".join([",".join(COLUMNS), *rows, ""]))
    with pytest.raises(ReportError, match="no number of generated tokens in common"):
        compare(read_measurements(tmp_path))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("saar-0,saar,0,1,3000,val,acc,1.0\n", "given twice"),
        ("saar-0,saar,0,two,3000,val,acc,1.0\n", "line 10: invalid literal"),
        ("saar-0,saar,0,2,3000,val,acc,nan\n", "must be finite"),
        ("saar-0,saar,0,2\n", "line 10"),
    ],
)
def test_bad_rows_are_refused(tmp_path: Path, extra: str, message: str) -> None:
    write_csv(tmp_path, extra)
    with pytest.raises(ReportError, match=message):
        read_measurements(tmp_path)


def test_missing_files_and_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no CSV file"):
        read_measurements(tmp_path)
    (tmp_path / "a.csv").write_text("run,arm\n")
    with pytest.raises(ReportError, match="missing columns generated_tokens_cum"):
        read_measurements([tmp_path / "a.csv"])


def test_page_and_standalone_svg_are_written(tmp_path: Path) -> None:
    page = build_comparison([write_csv(tmp_path)], tmp_path / "out" / "arms.html", tmp_path / "assets").read_text()
    assert "45.0%" in page and "+35.0 (-28.5 to +98.5) points" in page and "minus plain, paired by seed" in page
    svg = ET.fromstring((tmp_path / "assets" / "val-acc.svg").read_text())
    assert len(svg.findall(".//{http://www.w3.org/2000/svg}path[@class='band s1']")) == 1
