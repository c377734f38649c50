"""Where needles lie, and how long the text around them is."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from random import Random

import pytest

from cleartrace.needle.haystack import (
    Filler,
    count_words,
    filler_sentences,
    library_sentences,
    make_haystack,
    token_counter,
)
from cleartrace.needle.tasks import NeedleKind, answers_in

POLICY = Path(__file__).resolve().parents[2] / "dataset/quickstart/policy"
NEEDLE = "The special number of the calm river is 1234567."


def share_before(text: str, needle: str) -> float:
    before, after = text.split(needle)
    return len(before.split()) / (len(before.split()) + len(after.split()))


@pytest.mark.parametrize("filler", Filler)
@pytest.mark.parametrize("depth", [0.0, 0.25, 0.5, 1.0])
def test_the_first_needle_lies_at_its_depth(filler, depth):
    stack = make_haystack([NEEDLE, "Another one here."], depth, 900, filler, Random(1))
    text = stack.text([NEEDLE, "Another one here."])
    assert share_before(text, NEEDLE) == pytest.approx(depth, abs=0.03)
    assert text.count("Another one here.") == 1


@pytest.mark.parametrize("filler", Filler)
def test_a_haystack_fills_its_length_in_tokens_and_never_exceeds_it(filler):
    count = token_counter(POLICY)
    stack = make_haystack([NEEDLE], 0.5, 1500, filler, Random(2), count=count, frame="<{}>".format)
    size = count([f"<{stack.text([NEEDLE])}>"])[0]
    assert stack.size == size
    assert 1350 < size <= 1500


def test_other_needles_change_nothing_else():
    stack = make_haystack([NEEDLE], 0.5, 300, Filler.DOCS, Random(3))
    other = NEEDLE.replace("1234567", "7654321")
    assert stack.text([other]) == stack.text([NEEDLE]).replace("1234567", "7654321")


@pytest.mark.parametrize("filler", Filler)
@pytest.mark.parametrize("kind", NeedleKind)
def test_filler_holds_nothing_that_looks_like_an_answer(filler, kind):
    assert answers_in(kind, " ".join(islice(filler_sentences(filler, Random(4)), 5000))) == set()


def test_library_sentences_are_many_and_different():
    sentences = library_sentences()
    assert len(sentences) == len(set(sentences)) > 2000
    assert sum(count_words(sentences)) > 25_000


def test_needles_without_room_are_refused():
    with pytest.raises(ValueError, match="a length of 5 has no room: the needles and the prompt around them take 9"):
        make_haystack([NEEDLE], 0.5, 5, Filler.GRAMMAR, Random(0))
    with pytest.raises(ValueError, match=r"a depth lies in \[0, 1\], got 1.5"):
        make_haystack([NEEDLE], 1.5, 50, Filler.GRAMMAR, Random(0))


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="give a model folder with a fast tokenizer"):
        token_counter(tmp_path)
