"""Neighbours against a full matrix, the stages of retrieval, and a run over rendered scenes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from cleartrace.data.errors import DataError
from cleartrace.pairs.files import read_pairs
from cleartrace.pairs.make.scenes.collection import make_collection
from cleartrace.pairs.make.scenes.domain import Domain
from cleartrace.pairs.mine.images.embed import ThumbnailEmbedder, principal_components
from cleartrace.pairs.mine.images.judging import Judgement
from cleartrace.pairs.mine.images.mining import mine_pairs
from cleartrace.pairs.mine.images.neighbours import mutual_pairs, nearest, unit_rows
from cleartrace.pairs.mine.images.question import (
    ImageQuestion,
    answers_differ,
    normal_answer,
    normal_question,
    read_questions,
)
from cleartrace.pairs.mine.images.retrieval import RetrievalSettings, Stage, matched_pairs, retrieve


def row(id: str, answer: str, question: str = "How many?", group: str = "", image: str = "") -> ImageQuestion:
    return ImageQuestion(
        id=id, image=image or f"{id}.png", question=question, answer=answer, group=group or id, source="test"
    )


# --- neighbours -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [7, 32, 100])
def test_blocks_give_what_the_full_matrix_gives(block):
    vectors = unit_rows(np.random.default_rng(0).normal(size=(90, 8)))
    indices, cosines = nearest(vectors, 5, block)
    full = vectors @ vectors.T
    np.fill_diagonal(full, -np.inf)
    expected = np.argsort(-full, axis=1)[:, :5]
    assert (indices == expected).all()
    np.testing.assert_allclose(cosines, np.take_along_axis(full, expected, axis=1), atol=1e-6)
    mutual = {
        (i, j)
        for i in range(90)
        for j in range(i + 1, 90)
        if j in expected[i] and i in expected[j] and full[i, j] >= 0.3
    }
    found = mutual_pairs(indices, cosines, 0.3)
    assert {(i, j) for i, j, _ in found} == mutual
    assert [c for *_, c in found] == sorted((c for *_, c in found), reverse=True)


def test_fewer_rows_than_neighbours():
    indices, _ = nearest(unit_rows(np.eye(3) + 0.5), 20)
    assert indices.shape == (3, 2)


def test_a_vector_without_direction_is_named():
    with pytest.raises(ValueError, match="vector 1 has no direction"):
        unit_rows(np.array([[1.0, 0.0], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="vector 0"):
        unit_rows(np.array([[np.nan, 0.0], [1.0, 0.0]]))


def test_components_keep_cosines():
    basis = np.random.default_rng(0).normal(size=(6, 200))
    vectors = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32) @ basis.astype(np.float32)
    for columns in (200, 40):  # more than there are rows, and fewer
        small = principal_components(vectors[:, :columns], 6)
        assert small.shape == (50, 6)
        full, less = unit_rows(vectors[:, :columns]), unit_rows(small)
        np.testing.assert_allclose(less @ less.T, full @ full.T, atol=1e-4)


# --- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("3", "3.0"),
        ("1,200", "1200"),
        ("+5", "5"),
        ("(B)", "b."),
        ("B. a dog", "b"),
        ("The dog", "dog"),
        ("5 cm", "5"),
        ("$12$", "12"),
        ("YES", "yes."),
        ("-0", "0"),
    ],
)
def test_answers_that_are_the_same(a, b):
    assert not answers_differ(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [("3", "4"), ("-3", "3"), ("A", "B"), ("5 cm", "5 m"), ("red ball", "red box"), ("10", "100"), ("5%", "50%")],
)
def test_answers_that_differ(a, b):
    assert answers_differ(a, b)


def test_normal_forms():
    assert normal_answer("a") == "a"
    assert normal_question("How  many ?") == normal_question("how many?")


# --- stages ---------------------------------------------------------------------------------------------------------


def stages(rows, vectors, **settings):
    images = sorted({r.image for r in rows})
    return retrieve(rows, images, np.array(vectors, dtype=float), RetrievalSettings(**settings))


def test_each_stage_counts_what_passes_it():
    rows = [row("a", "3"), row("b", "3.0"), row("c", "5"), row("d", "5", question="Which colour?")]
    matches, funnel = stages(rows, [[1, 0], [1, 0.01], [1, 0.02], [1, 0.03]])
    assert funnel[Stage.NEAR] == 6
    assert funnel[Stage.SAME_QUESTION] == 3
    assert funnel[Stage.DIFFERENT_ANSWERS] == 2
    assert {m.id for m in matches} == {"a:c", "b:c"}


def test_the_threshold_is_a_cosine():
    angle = np.arccos(0.85)
    near, far = [np.cos(angle * 0.99), np.sin(angle * 0.99)], [np.cos(angle * 1.01), np.sin(angle * 1.01)]
    assert len(stages([row("a", "1"), row("b", "2")], [[1, 0], near])[0]) == 1
    assert len(stages([row("a", "1"), row("b", "2")], [[1, 0], far])[0]) == 0


def test_the_cap_limits_how_often_a_picture_is_used():
    rows = [row(f"r{i}", str(i)) for i in range(6)]
    vectors = [[1, 0.001 * i] for i in range(6)]
    for cap in (1, 2):
        matches, _ = stages(rows, vectors, cap=cap)
        uses = [m.a.image for m in matches] + [m.b.image for m in matches]
        assert max(uses.count(r.image) for r in rows) == cap


def test_a_picture_never_matches_itself():
    rows = [row("a", "1", image="x.png", group="x"), row("b", "2", image="x.png", group="x"), row("c", "3")]
    matches, _ = stages(rows, [[1, 0], [1, 0.01]])
    assert all(m.a.image != m.b.image for m in matches)
    assert matches


def test_matches_that_share_a_picture_share_a_group():
    rows = [row("a", "1"), row("b", "2"), row("c", "3"), row("x", "1"), row("y", "2")]
    matches, _ = stages(rows, [[1, 0], [1, 0.01], [1, 0.02], [0, 1], [0.01, 1]])
    pairs = matched_pairs(matches)
    group = {path: pair.group for pair in pairs for path in (pair.pos.path, pair.neg.path)}
    assert group["a.png"] == group["b.png"] == group["c.png"]
    assert group["x.png"] == group["y.png"] != group["a.png"]
    assert len(pairs) == 2 * len(matches)


# --- a run ----------------------------------------------------------------------------------------------------------


class CountingEmbedder(ThumbnailEmbedder):
    def __init__(self):
        self.seen = 0

    def embed(self, paths):
        self.seen += len(paths)
        return super().embed(paths)


class Judge:
    def __init__(self):
        self.asked = 0

    def judge(self, match):
        self.asked += 1
        if self.asked == 4:
            raise KeyboardInterrupt
        return Judgement.AMBIGUOUS if self.asked == 1 else Judgement.VALID


def test_a_run_over_scenes_gives_pairs_and_goes_on_after_a_kill(tmp_path):
    make_collection(tmp_path / "scenes.jsonl", 120, 0, [Domain.SCIENCE])
    questions = list(read_questions(tmp_path / "scenes.jsonl"))
    out, embedder, judge = tmp_path / "pairs.jsonl", CountingEmbedder(), Judge()
    arguments = (questions, out, embedder, RetrievalSettings(), judge)
    with pytest.raises(KeyboardInterrupt):
        mine_pairs(*arguments, judge_name="test")
    assert not out.exists()
    funnel = mine_pairs(*arguments, judge_name="test")
    assert embedder.seen == 120
    assert funnel["judged_valid"] == funnel["under_cap"] - 1
    assert judge.asked == funnel["under_cap"] + 1, "the one that was under way is asked again, no other"
    pairs = read_pairs(out)
    assert len(pairs) == funnel["pairs"] > 20
    assert all(answers_differ(a.answer, b.answer) for a, b in zip(pairs[::2], pairs[1::2], strict=True))
    assert all(pair.meta["retrieval"]["cosine"] >= 0.85 for pair in pairs)
    assert json.loads((tmp_path / "pairs.jsonl.funnel.json").read_text())["funnel"] == funnel


def test_a_journal_of_another_run_is_refused(tmp_path):
    make_collection(tmp_path / "scenes.jsonl", 60, 0, [Domain.SCIENCE])
    questions = list(read_questions(tmp_path / "scenes.jsonl"))
    out = tmp_path / "pairs.jsonl"
    judge = type("Yes", (), {"judge": lambda self, match: Judgement.VALID})()
    mine_pairs(questions, out, ThumbnailEmbedder(), RetrievalSettings(), judge)
    with pytest.raises(DataError, match="other settings"):
        mine_pairs(questions, out, ThumbnailEmbedder(), RetrievalSettings(threshold=0.9), judge)


def test_an_empty_picture_is_counted_and_matches_nothing(tmp_path):
    make_collection(tmp_path / "scenes.jsonl", 40, 0, [Domain.SCIENCE])
    Image.new("RGB", (50, 40), "white").save(tmp_path / "white.png")
    questions = [*read_questions(tmp_path / "scenes.jsonl"), row("w", "9", image=str(tmp_path / "white.png"))]
    funnel = mine_pairs(questions, tmp_path / "pairs.jsonl", ThumbnailEmbedder(), RetrievalSettings())
    assert (funnel["images"], funnel["empty_images"]) == (41, 1)
    assert funnel["pairs"] > 0


def test_a_bad_collection_is_named(tmp_path):
    file = tmp_path / "rows.jsonl"
    good = row("a", "1").model_dump()
    file.write_text(json.dumps(good) + "\n" + json.dumps(good) + "\n")
    with pytest.raises(DataError, match=r"row 1, column id.*twice"):
        list(read_questions(file))
    file.write_text(json.dumps(good) + "\n" + json.dumps({**good, "id": "b", "group": "other"}) + "\n")
    with pytest.raises(DataError, match="a picture has one group"):
        list(read_questions(file))
    file.write_text(json.dumps({**good, "answer": ""}) + "\n")
    with pytest.raises(DataError, match="column answer"):
        list(read_questions(file))


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "x.png").write_text("no picture")
    with pytest.raises(ValueError, match="x.png"):
        ThumbnailEmbedder().embed([tmp_path / "x.png"])
    Image.new("RGB", (50, 40), "white").save(tmp_path / "white.png")
    assert not ThumbnailEmbedder().embed([tmp_path / "white.png"]).any()
