"""Pairs in files: what comes back is what was written, and what is wrong is named."""

from __future__ import annotations

import json

import pytest

from cleartrace.data.errors import DataError
from cleartrace.pairs.files import iter_pairs, read_pairs, write_pairs
from cleartrace.pairs.record import ImageRef, Order
from tests.pairs.samples import image_pair, text_pair, trajectory_pair


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_every_kind_comes_back(suffix, tmp_path):
    pairs = [
        text_pair(0, meta={"direction": "forward", "n": [1, 2]}, order=Order.CONFOUNDING_FIRST, pos='{"json": "é"}'),
        trajectory_pair(id="steps-1"),
        image_pair(tmp_path, id="picture-1"),
    ]
    path = tmp_path / f"pairs{suffix}"
    assert write_pairs(path, pairs) == 3
    assert read_pairs(path) == pairs == list(iter_pairs(str(path)))


def test_images_move_with_their_file(tmp_path):
    pair = image_pair(tmp_path / "a" if (tmp_path / "a").mkdir() is None else tmp_path)
    write_pairs(tmp_path / "a/pairs.jsonl", [pair])
    assert json.loads((tmp_path / "a/pairs.jsonl").read_text())["pos"] == {"path": "red.png"}
    (tmp_path / "a").rename(tmp_path / "b")
    (moved,) = read_pairs(tmp_path / "b/pairs.jsonl")
    assert moved.pos == ImageRef(path=str(tmp_path / "b/red.png"))


def test_images_elsewhere_keep_their_place(tmp_path):
    pair = image_pair(tmp_path)
    write_pairs(tmp_path / "deep/pairs.jsonl", [pair])
    assert json.loads((tmp_path / "deep/pairs.jsonl").read_text())["pos"] == {"path": str(tmp_path / "red.png")}
    assert read_pairs(tmp_path / "deep/pairs.jsonl") == [pair]


def test_several_files_and_an_id_twice(tmp_path):
    one, two = tmp_path / "one.jsonl", tmp_path / "two.parquet"
    write_pairs(one, [text_pair(0)])
    write_pairs(two, [text_pair(1), text_pair(0)])
    with pytest.raises(DataError, match=r"two.parquet, row 1, column id: the id 'fox-0' occurs twice"):
        read_pairs([one, two])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", r"line 1: not JSON"),
        ('{"id": "x"}', r"row 0, column kind: Field required"),
        (json.dumps({**text_pair().model_dump(mode="json"), "lable": 1}), r"row 0, column lable: Extra inputs"),
        (
            json.dumps({**text_pair().model_dump(mode="json"), "neg": "Fox 0 is red."}),
            r"row 0: pair fox-0: both contexts",
        ),
    ],
)
def test_a_wrong_row_is_named(line, says, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=says):
        read_pairs(path)


def test_nothing_is_left_of_a_file_that_could_not_be_finished(tmp_path):
    def broken():
        yield text_pair(0)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        write_pairs(tmp_path / "pairs.jsonl", broken())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="there is no such file"):
        read_pairs(tmp_path / "pairs.jsonl")
