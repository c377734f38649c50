"""Figure 5: numbers, markers and the file itself."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cleartrace.data.errors import DataError
from cleartrace.evaluate.stats import mean_interval
from cleartrace.probe.figure5 import METHODS, main, points, read_runs
from cleartrace.probe.figure5_svg import SHAPES, draw
from cleartrace.probe.paper import NOTE, paper_points

GOLDEN = Path(__file__).parent / "golden"
RUNS = GOLDEN / "figure5.csv"


def test_the_file_is_the_golden_one(tmp_path: Path) -> None:
    """To renew it after a wanted change: python -m cleartrace.probe.figure5 CSV SVG --paper, and look at it."""
    assert main([str(RUNS), str(tmp_path / "figure5.svg"), "--paper"]) == 0
    for name in ("figure5.svg", "figure5.points.csv"):
        assert (tmp_path / name).read_text() == (GOLDEN / name).read_text()


def test_a_point_is_the_mean_of_its_seeds_with_students_interval() -> None:
    found = {(point.model, point.method): point for point in points(read_runs(RUNS))}
    ours = found["SmolLM2-135M", "Ours"]
    assert (ours.x, ours.x_low, ours.x_high) == mean_interval([88, 90, 92]) and ours.seeds == 3
    assert (ours.y, ours.y_low, ours.y_high) == mean_interval([58, 57, 59])


def test_one_seed_keeps_the_interval_of_its_probe() -> None:
    base = points(read_runs(RUNS))[0]
    assert (base.method, base.x_low, base.x_high, base.y_low) == ("Base", 46, 55, float("-inf"))


def test_every_method_has_its_own_shape_and_every_model_its_panel() -> None:
    found = points(read_runs(RUNS))
    root = ElementTree.fromstring(draw(found))
    name = "{http://www.w3.org/2000/svg}"
    assert [text.text for text in root.iter(f"{name}text") if text.get("class") == "panel"] == [
        "SmolLM2-135M",
        "Qwen3-8B",
    ]
    assert len(set(SHAPES.values())) == len(SHAPES) and set(SHAPES) == set(METHODS)
    drawn = [shape.get("class") for shape in (*root.iter(f"{name}circle"), *root.iter(f"{name}polygon"))]
    assert len(drawn) == len(found) + len(METHODS)  # and the legend


def test_the_papers_points_are_marked_as_read_off() -> None:
    found = points(read_runs(RUNS))
    plain, overlaid = draw(found), draw(found, paper=True)
    assert escape(NOTE) in overlaid and escape(NOTE) not in plain
    assert len(re.findall(r'class="m\d read"', overlaid)) == 5 and "read" not in re.findall(r'class="m[^"]*"', plain)
    assert [len(paper_points(model)) for model in ("Klear-8B", "Qwen3-VL-8B", "another")] == [5, 5, 0]


def test_names_are_escaped() -> None:
    (point, *_) = points(read_runs(RUNS))
    ElementTree.fromstring(draw([type(point)(**{**vars(point), "model": "<a&b>"})], y_label='"<y>'))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("PPO,m,0,50,1", "line 2: method is one of Base, RL, DA-SFT, DA-RL, Ours, got 'PPO'"),
        ("RL,m,0,fifty,1", "line 2: not a number"),
        ("RL,m,0,0.5e3,1", "x and y are in percent"),
        ("RL,m,0,50,1\nRL,m,0,51,1", "RL of m has seed 0 twice"),
        ("", "there is no run in it"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(f"method,model,seed,x,y\n{line}\n" if line else "method,model,seed,x,y\n")
    with pytest.raises(DataError, match=re.escape(message)):
        read_runs(path)
    assert main([str(path), str(tmp_path / "out.svg")]) == 2


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("method,model,x,y\n")
    with pytest.raises(DataError, match="there is no column seed"):
        read_runs(tmp_path / "runs.csv")
