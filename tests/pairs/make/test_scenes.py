"""Every kind of scene: the edit changes the answer, one parameter, and pixels inside the target alone."""

from __future__ import annotations

from dataclasses import fields

import pytest

from cleartrace.pairs.files import read_pairs
from cleartrace.pairs.make.scenes import collection
from cleartrace.pairs.make.scenes.catalog import SCENES, sample_scene, scene_rng
from cleartrace.pairs.make.scenes.collection import TooFewScenes, different_scenes, make_scene_pairs
from cleartrace.pairs.make.scenes.domain import Domain
from cleartrace.pairs.make.scenes.scene import SIDE, Box, Scene
from cleartrace.pairs.make.scenes.shelves import Ask, Shelf
from cleartrace.pairs.mine.images.compare import difference_box
from cleartrace.pairs.record import PairKind

KINDS = [kind for kinds in SCENES.values() for kind in kinds]
DRAWS = 25


def drawn(kind: type[Scene]) -> list[tuple[Scene, Scene]]:
    scenes = [kind.sample(scene_rng(3, n)) for n in range(DRAWS)]
    return [(scene, scene.edited(scene_rng(3, n, "edit"))) for n, scene in enumerate(scenes)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_edit_changes_the_answer_and_one_parameter(kind):
    for scene, edited in drawn(kind):
        assert scene.question == edited.question
        assert scene.answer != edited.answer
        changed = [f.name for f in fields(scene) if getattr(scene, f.name) != getattr(edited, f.name)]
        assert len(changed) == 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_changed_pixel_lies_in_the_target(kind):
    for scene, edited in drawn(kind):
        box = difference_box(scene.render(), edited.render())
        assert box is not None
        assert scene.target.contains(box), (scene, edited)
        assert edited.target.contains(box), (scene, edited)
        assert Box(0, 0, SIDE, SIDE).contains(scene.target)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_equal_parameters_are_equal_pictures(kind):
    first, second = kind.sample(scene_rng(1, 7)), kind.sample(scene_rng(1, 7))
    assert first == second
    assert first.render().tobytes() == second.render().tobytes()
    assert len({kind.sample(scene_rng(1, n)) for n in range(20)}) > 10


def test_domains_and_kinds_take_turns():
    scenes = [sample_scene(0, n) for n in range(15)]
    assert [scene.domain for scene in scenes[:5]] == list(Domain)
    assert {type(scene) for scene in scenes} == set(KINDS)


def test_answers_of_shelves_are_counted_from_the_items():
    for n in range(60):
        shelf = Shelf.sample(scene_rng(5, n))
        named = shelf.items[shelf.focus].shape
        if shelf.ask is Ask.COUNT:
            assert shelf.answer == str([item.shape for item in shelf.items].count(named))
        else:
            assert [item.shape for item in shelf.items].count(named) == 1, "the question must have one answer"


def test_pairs_come_in_both_directions_with_their_pictures(tmp_path):
    funnel = make_scene_pairs(tmp_path / "pairs.jsonl", 12, 0, list(Domain))
    assert funnel == {"questions": 12, "kept": 12}
    pairs = read_pairs(tmp_path / "pairs.jsonl")
    assert len(pairs) == 24
    for forward, reverse in zip(pairs[::2], pairs[1::2], strict=True):
        assert forward.kind is PairKind.IMAGE
        assert (forward.pos, forward.neg) == (reverse.neg, reverse.pos)
        assert forward.answer != reverse.answer
        assert forward.group == reverse.group
        assert (tmp_path / forward.pos.path).read_bytes()[:4] == b"\x89PNG"
    assert '"path": "pairs-images/' in (tmp_path / "pairs.jsonl").read_text()


def test_no_picture_occurs_twice():
    found = different_scenes(150, 0, [Domain.GEOMETRY])
    pictures = [s for scene, n in found for s in (scene, scene.edited(scene_rng(0, n, "edit")))]
    assert len(set(pictures)) == len(pictures)


def test_more_scenes_than_there_are_is_an_error(monkeypatch):
    monkeypatch.setattr(collection, "MAX_TRIES", 1)
    with pytest.raises(TooFewScenes, match="only"):
        different_scenes(300, 0, [Domain.GEOMETRY])
