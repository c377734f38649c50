"""A letter out of text and out of log-probabilities."""

from __future__ import annotations

import math

import pytest

from cleartrace.probe.answer import letter_of_margin, parse_letter, read_top_logprobs

AB = ("A", "B")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A", "A"),
        (" B\n", "B"),
        ("**A**", "A"),
        ("(B).", "B"),
        ("Context B", "B"),
        ("context A.", "A"),
        ("\\boxed{A}", "A"),
        ("Answer: B", "B"),
        ("The correct option is A.", "A"),
        ("The answer is context B, as it names the colour.", "B"),
        ("<think>A or B? Context A says so.</think>\n\nB", "B"),
        ("Context B supports it.", "B"),
        ("", ""),
        ("C", ""),
        ("a", ""),
        ("A or B", ""),
        ("Context A or context B", ""),
        ("A context like this is rare.", ""),
        ("A cat is in both.", ""),
        ("Both contexts support it", ""),
        ("<think>Context A", ""),
        ("Apple", ""),
        ("The answer is Banana", ""),
    ],
)
def test_one_letter_or_none(text: str, letter: str) -> None:
    assert parse_letter(text, AB) == letter


def test_other_letters() -> None:
    assert parse_letter("Option 2", ("1", "2")) == "2" and parse_letter("A", ("1", "2")) == ""


def test_a_tie_is_no_choice() -> None:
    assert [letter_of_margin(margin, AB) for margin in (0.1, -0.1, 0.0, math.nan)] == ["A", "B", "", ""]


def test_spellings_of_a_token_count_together() -> None:
    top = {"A": math.log(0.3), " A": math.log(0.2), "B": math.log(0.25), "The": math.log(0.1)}
    letter, margin, mass = read_top_logprobs(top, AB)
    assert letter == "A" and margin == pytest.approx(math.log(2)) and mass == pytest.approx(0.75)


def test_a_letter_alone_on_the_list_is_the_choice_without_a_margin() -> None:
    assert read_top_logprobs({"ĠB": math.log(0.5), "x": -3.0}, AB) == ("B", None, pytest.approx(0.5))
    assert read_top_logprobs({"x": -0.1}, AB) == ("", None, 0.0)
