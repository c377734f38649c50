"""Outputs as words: numbers by value, whole numbers exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_judge.comparing import texts_equal
from code_judge.jobs import Compare


@pytest.mark.parametrize(
    ("one", "other", "tolerance", "equal"),
    [
        ("9007199254740993", "9007199254740992", 0.0, False),
        ("9007199254740993", "9007199254740992", 1e-9, True),
        ("1_0", "10", 0.0, False),
        ("1_0", "10", 1.0, False),
        ("+7", "007", 0.0, True),
        ("-0", "0", 0.0, True),
        ("-7", "7", 0.0, False),
        ("7" * 5000, "7" * 5000 + "8", 0.0, False),
        ("0" + "7" * 5000, "7" * 5000, 0.0, True),
        ("1.50", "1.5", 0.0, True),
        ("1e3", "1000", 0.0, True),
        ("1.01", "1", 0.1, True),
        ("a_b", "a_b", 0.0, True),
        ("\u0663", "3", 0.0, True),  # as Python reads it
    ],
)
def test_words(one: str, other: str, tolerance: float, equal: bool) -> None:
    assert texts_equal(one, other, Compare.TOKENS, tolerance) is equal
    assert texts_equal(other, one, Compare.TOKENS, tolerance) is equal


@given(st.integers(), st.integers())
def test_whole_numbers_are_equal_when_they_are(one: int, other: int) -> None:
    assert texts_equal(f"{one:+}", f"{other}", Compare.TOKENS) is (one == other)
