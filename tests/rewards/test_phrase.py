"""Short answers in words."""

from __future__ import annotations

import pytest

from cleartrace.rewards import phrase
from cleartrace.rewards.dispatch import GraderKind, grader_of
from cleartrace.rewards.score import compute_score


@pytest.mark.parametrize("response", ["kitchen", "The kitchen.", " KITCHEN\n", "<think>garden? no</think>Kitchen"])
def test_the_key_in_any_dress_is_right(response):
    assert compute_score("short_answer", response, "kitchen")["acc"]


@pytest.mark.parametrize("response", ["", "in the kitchen", "kitchen or garden", "garden", "<think>kitchen</think>"])
def test_anything_else_is_wrong(response):
    """Naming every place would otherwise always be right."""
    assert not compute_score("short_answer", response, "kitchen")["acc"]


def test_one_of_several_keys_is_enough():
    assert phrase.grade_phrase("the car park", "parking lot|car park").correct


def test_sources_and_bad_keys():
    assert grader_of("rules/short_answer") is GraderKind.PHRASE
    with pytest.raises(ValueError, match="has no word"):
        compute_score("short_answer", "x", "kitchen|...")
