"""Which pairs are asked: spread over groups, in both directions, the same ones every time, and hashed by content."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from make_probe import image_pairs, text_pairs

from cleartrace.data.errors import DataError
from cleartrace.data.files import write_json
from cleartrace.pairs.record import Order, PairKind
from cleartrace.probe.manifest import read_manifest, replay, row_hash, select


def test_200_of_each_kind_are_the_default(tmp_path: Path) -> None:
    pairs = [*text_pairs(300, kind=PairKind.TRAJECTORY), *image_pairs(tmp_path, 150)]
    manifest, chosen = select(pairs)
    assert Counter(row.kind for row in manifest.rows) == {PairKind.TRAJECTORY: 200, PairKind.IMAGE: 150}
    assert manifest.short == {"image": 50} and [pair.id for pair in chosen] == [row.id for row in manifest.rows]


def test_the_sample_is_a_function_of_the_seed_and_not_of_the_order_of_rows() -> None:
    pairs = text_pairs(60)
    first, _ = select(pairs, per_kind=20)
    again, _ = select(pairs[::-1], per_kind=20)
    other, _ = select(pairs, per_kind=20, seed=1)
    assert first == again and first.sha256 != other.sha256


def test_groups_take_turns_and_directions_stay_together() -> None:
    """One repository with 100 pairs must not be the probe."""
    pairs = [*text_pairs(100, per_group=50, source="large"), *text_pairs(20, per_group=1, source="small")]
    manifest, _ = select(pairs, per_kind=22)
    assert Counter(row.source for row in manifest.rows) == {"large": 2, "small": 20}
    assert Counter(row.id[:-1] for row in manifest.rows).most_common()[-1][1] == 2


def test_half_of_a_kind_begins_with_the_supporting_context() -> None:
    manifest, _ = select(text_pairs(80), per_kind=50)
    assert Counter(row.first_order for row in manifest.rows) == {order: 25 for order in Order}


def test_groups_of_training_pairs_are_held_out_and_counted() -> None:
    manifest, chosen = select(text_pairs(10), training_groups=["foxes/0", "foxes/3"])
    assert manifest.held_out == 4 and {pair.group for pair in chosen} == {"foxes/1", "foxes/2", "foxes/4"}
    with pytest.raises(DataError, match="none of 2 pairs is held out"):
        select(text_pairs(2), training_groups=["foxes/0"])


def test_the_hash_is_of_content_and_of_image_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("here", "there", "other")]
    for folder in folders:
        folder.mkdir()
    here, there, other = (image_pairs(folder, 2)[0] for folder in folders)
    assert row_hash(here) == row_hash(there)
    Path(other.pos.path).write_bytes(Path(other.neg.path).read_bytes() + b" ")  # type: ignore[union-attr]
    moved = other.model_copy(update={"pos": other.pos.model_copy(update={"path": other.pos.path + ".png"})})  # type: ignore[union-attr]
    Path(moved.pos.path).write_bytes(Path(other.pos.path).read_bytes())  # type: ignore[union-attr]
    assert row_hash(here) != row_hash(moved)
    with pytest.raises(DataError, match="the image cannot be read"):
        row_hash(here.model_copy(update={"pos": here.pos.model_copy(update={"path": str(tmp_path / "no.png")})}))  # type: ignore[union-attr]


def test_a_probe_can_be_asked_again_from_its_manifest(tmp_path: Path) -> None:
    pairs = text_pairs(30)
    manifest, chosen = select(pairs, per_kind=10)
    path = tmp_path / "manifest.json"
    write_json(path, manifest.as_dict())
    assert read_manifest(path) == manifest and replay(manifest, pairs[::-1]) == chosen
    changed = [pair.model_copy(update={"question": pair.question + " "}) for pair in pairs]
    with pytest.raises(DataError, match="SHA-256 differs"):
        replay(manifest, changed)
    with pytest.raises(DataError, match="10 pairs of the manifest are not in the files"):
        replay(manifest, text_pairs(2, source="other"))


def test_a_manifest_that_was_edited_is_refused(tmp_path: Path) -> None:
    manifest, _ = select(text_pairs(4))
    fields = manifest.as_dict()
    fields["rows"] = fields["rows"][1:]
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(DataError, match="do not have the SHA-256"):
        read_manifest(path)


def test_ids_must_be_unique() -> None:
    with pytest.raises(DataError, match="two pairs have the id foxes-0"):
        select([*text_pairs(2), *text_pairs(2)])
