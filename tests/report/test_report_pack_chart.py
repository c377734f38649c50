"""Packing and drawing: what the page holds, without a browser."""

from __future__ import annotations

import base64
import gzip
import json
import math
import random
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_run import make_record

from cleartrace.report.chart import Chart, Series, format_number, nice_ticks, render_svg
from cleartrace.report.html import curves
from cleartrace.report.load import MetricRow, Run
from cleartrace.report.pack import CHUNK_ROWS, pack


def unpack(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_every_record_comes_back_from_its_chunk() -> None:
    rng = random.Random(3)
    records = [make_record(rng, number=i) for i in range(CHUNK_ROWS + 3)]
    packed = pack(records)
    details = [detail for chunk in packed.chunks for detail in unpack(chunk)]
    columns = unpack(packed.index)["columns"]
    assert (packed.rows, packed.stride, len(packed.chunks)) == (len(records), 1, 2)
    for i, (record, detail) in enumerate(zip(records, details, strict=True)):
        assert [s["token_ids"] for s in detail["segments"]] == [s.token_ids for s in record.segments]
        assert [c["code"] for c in detail["tool_calls"]] == [c.code for c in record.tool_calls]
        assert columns["question"][i] == record.question and columns["acc"][i] == record.acc
        assert columns["repairs"][i] == len(record.repairs)


def test_large_runs_are_thinned_evenly_by_rows_and_by_tokens() -> None:
    rng = random.Random(4)
    records = [make_record(rng, step=i, number=i) for i in range(40)]
    assert unpack(pack(records, max_rows=10).index)["columns"]["step"] == list(range(0, 40, 4))
    assert pack(records, max_tokens=sum(len(s.token_ids) for r in records for s in r.segments) // 2).rows <= 20


def test_numbers_without_json_become_null() -> None:
    (detail,) = unpack(pack([make_record(random.Random(0), reward=math.nan)]).chunks[0])
    assert detail["reward"] is None


@given(st.floats(-1e7, 1e7), st.floats(-1e7, 1e7))
def test_ticks_cover_the_data_with_a_handful_of_round_values(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    if 0 < high - low < 1e-6 * max(abs(a), abs(b), 1):
        return
    ticks = nice_ticks(low, high)
    assert ticks == sorted(set(ticks)) and 2 <= len(ticks) <= 8
    slack = 1e-6 * (ticks[-1] - ticks[0])
    assert ticks[0] <= low + slack and ticks[-1] >= high - slack


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, "0.25"), (1234, "1,234"), (12_500, "12.5k"), (3_400_000, "3.4M"), (0, "0")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert format_number(value) == text


def test_the_svg_is_well_formed_and_escapes_labels() -> None:
    series = Series('</text><script>"', (0.0, 10.0), (0.2, 0.8), ((0.1, 0.3), (-math.inf, math.inf)))
    svg = ET.fromstring(render_svg(Chart("a < b", "step", "solved", (series,), percent=True), css=".x{}", legend=True))
    texts = [node.text for node in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"step", "solved", '</text><script>"', "0", "10", "20%", "80%"} <= set(texts)
    assert not list(svg.iter("{http://www.w3.org/2000/svg}script"))
    points = json.loads(svg.attrib["data-series"])["lines"][0]["points"]
    assert [p[2:] for p in points] == [["0", "20.00%"], ["10", "80.00%"]] and points[0][1] > points[1][1]


def test_a_long_legend_wraps_within_the_width() -> None:
    series = tuple(Series(f"a rather long arm name {i}", (0.0, 1.0), (0.1, 0.2)) for i in range(4))
    svg = ET.fromstring(render_svg(Chart("t", "x", "y", series), css=".x{}", legend=True))
    legend = svg.findall(".//{http://www.w3.org/2000/svg}text[@class='legend']")
    assert len({(node.get("x"), node.get("y")) for node in legend}) == 4
    assert all(float(node.get("x", "inf")) + 6.2 * len(node.text or "") <= 420 for node in legend)


def test_curves_without_data_are_left_out() -> None:
    run = Run(
        "r", {}, (MetricRow(1, {"timing_s/step": 2.0}), MetricRow(2, {"cleartrace/val/acc": 0.5, "other": 1.0})), ()
    )
    charts = {chart.title: chart for chart in curves(run)}
    assert set(charts) == {"Solve rate", "Step time"}
    assert [(s.label, s.x, s.y) for s in charts["Solve rate"].series] == [("held-out", (2,), (0.5,))]
