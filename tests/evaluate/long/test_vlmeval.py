"""VLMEvalKit's tables: images in base64, shared images, and predictions without holes."""

from __future__ import annotations

import base64
import importlib.util
import io
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.data.errors import DataError
from cleartrace.evaluate.long.vlmeval import check_predictions, read_samples, read_table, write_predictions


def picture(colour: str) -> str:
    file = io.BytesIO()
    Image.new("RGB", (24, 24), colour).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def write(path: Path, lines: list[list[str]]) -> Path:
    path.write_text("".join("\t".join(line) + "\n" for line in lines))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    head = ["index", "image", "question", "A", "B", "answer", "category"]
    rows = [
        ["0", picture("red"), "Which colour?", "red", "blue", "A", "colour"],
        ["1", "0", "Is it blue?", "yes", "no", "B", "colour"],
        ["2", f"['{picture('red')}', '{picture('blue')}']", "Are they one colour?", "yes", "no", "B", "two"],
    ]
    return write(tmp_path / "Colours.tsv", [head, *rows])


def test_images_are_files_again_and_may_be_shared(data: Path) -> None:
    samples = read_samples(data)
    assert [len(sample.images) for sample in samples] == [1, 1, 2] and samples[0].images == samples[1].images
    assert Image.open(io.BytesIO(samples[2].images[1])).getpixel((0, 0)) == (0, 0, 255)
    assert samples[0].options == {"A": "red", "B": "blue"} and samples[0].rest == {"category": "colour"}


@pytest.mark.parametrize("suffix", ["tsv", "xlsx"])
def test_predictions_come_back_whole(suffix: str, data: Path, tmp_path: Path) -> None:
    if suffix == "xlsx" and importlib.util.find_spec("openpyxl") is None:
        pytest.skip("openpyxl is not installed, and only xlsx needs it")
    out = tmp_path / f"model_Colours.{suffix}"
    assert write_predictions(out, read_samples(data), {"0": "A", "1": 'no,\n\t"never"', "2": "B"}) == 3
    rows = read_table(out, ("prediction",))
    assert [row["prediction"] for row in rows] == ["A", 'no,\n\t"never"', "B"] and "image" not in rows[0]
    done = CliRunner().invoke(app, ["bench", "vlmeval-check", "--predictions", str(out), "--data", str(data)])
    assert done.exit_code == 0 and "3 predictions" in done.output


def test_xlsx_without_openpyxl_says_what_to_do(tmp_path: Path) -> None:
    if importlib.util.find_spec("openpyxl") is not None:
        pytest.skip("openpyxl is installed")
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match="pip install openpyxl, or use .tsv"):
        check_predictions(tmp_path / "a.xlsx")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([["0", "q", "A", ""]], "row 0, column prediction: empty"),
        ([["0", "q", "A", "A"], ["0", "q", "A", "A"]], "index 0 is there twice"),
        ([["0", "q", "A", "A"]], "2 questions of .* have no row, such as index 1"),
        ([[str(i), "q", "A", "A"] for i in range(4)], "1 rows are not of .*, such as index 3"),
        ([], "there is no row in it"),
    ],
)
def test_holes_are_errors(lines: list[list[str]], message: str, data: Path, tmp_path: Path) -> None:
    table = write(tmp_path / "predictions.tsv", [["index", "question", "answer", "prediction"], *lines])
    with pytest.raises(DataError, match=message):
        check_predictions(table, data)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("7", "refers to the image of index 7, which has none"),
        ("?" * 100, "not base64"),
        (base64.b64encode(b"text " * 30).decode(), "something that is no image"),
    ],
)
def test_cells_that_are_no_images(cell: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_samples(write(tmp_path / "data.tsv", [["index", "image", "question"], ["0", cell, "q"]]))


def test_missing_predictions_and_columns(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 samples have no prediction, such as index 1"):
        write_predictions(tmp_path / "out.tsv", read_samples(data), {"0": "A"})
    with pytest.raises(DataError, match="there is no column prediction; it has index, image"):
        check_predictions(data)
