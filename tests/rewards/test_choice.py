"""Multiple choice by letter, and the sources it is used for."""

import pytest

from cleartrace.rewards.choice import read_choice
from cleartrace.rewards.dispatch import GraderKind, grader_of, settle
from cleartrace.rewards.score import compute_score


@pytest.mark.parametrize(
    "text",
    [
        "B", "b", "(B)", "( B )", "B.", "B)", "B:", r"\text{B}", r"\text{(B)}", r"\textbf{B}", r"\mathrm{B}",
        r"\mathbf{(B)}", "$B$", r"\left(B\right)", "Option B", "Answer: B", "The correct answer is B", "**B**",
        "B. 42 m/s", "(B) the electron", "B) A photon is absorbed by it", r"\text{\textbf{B}}",
    ],
)  # fmt: skip
def test_spellings_of_one_letter(text):
    assert read_choice(text) == "B"


@pytest.mark.parametrize(
    "text", ["", "K", "blue", "A, B", "A and B", "A) or C)", "AB", "(A)(B)", "B/C", "42", "a photon", "B" * 5000, "{B}"]
)
def test_what_is_no_single_letter(text):
    assert read_choice(text) is None


def test_every_letter_from_a_to_j():
    assert [read_choice(letter) for letter in "ABCDEFGHIJ"] == list("ABCDEFGHIJ")


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("train-code-taco-easy", "code"), ("LiveCodeBench_v6", "code"), ("test-Code-x", "code"),
        ("gpqa_diamond", "choice"), ("mega-science", "science"), ("math_dapo", "math"), ("AIME2024", "math"),
        ("cleartrace/sums", "math"),
    ],
)  # fmt: skip
def test_a_source_names_its_grader(source, kind):
    assert grader_of(source).value == kind
    assert grader_of(source, {source: GraderKind.CHOICE}) is GraderKind.CHOICE


def test_science_with_a_letter_as_key_is_a_choice():
    assert settle(GraderKind.SCIENCE, "B") is GraderKind.CHOICE
    assert settle(GraderKind.SCIENCE, "B = 2 T") is GraderKind.SCIENCE
    assert settle(GraderKind.MATH, "B") is GraderKind.MATH


def test_choices_are_graded():
    assert compute_score("gpqa_diamond", r"So \boxed{\text{(b) it decays}}", "B")["acc"]
    assert compute_score("gpqa_diamond", r"\boxed{B}", "(B)")["pred"] == "B"
    wrong = compute_score("gpqa_diamond", r"\boxed{A, B}", "B")
    assert (wrong["acc"], wrong["error"], wrong["score"]) == (False, "no_choice", -1.0)
    assert compute_score("gpqa_diamond", "B", "B")["error"] == "no_answer"
    assert compute_score("my-exam", r"\boxed{(C)}", "C", graders={"my-exam": "choice"})["acc"]
    assert not compute_score("gpqa_diamond", r"\boxed{(B)}", "B", math_mode="strict")["acc"], "published: as a string"


@pytest.mark.parametrize("gold", ["42", "blue", "AB"])
def test_a_key_that_is_no_letter_is_an_error_of_the_dataset(gold):
    with pytest.raises(ValueError, match="gpqa_diamond.*not an option letter.*ground_truth"):
        compute_score("gpqa_diamond", r"\boxed{A}", gold)


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        (r"\text{Sodium Chloride}", "sodium chloride", True),
        ("increases.", "Increases", True),
        ("CO", "Co", False),
        ("NaCl", "NACL", False),
        ("NACL", "NaCl", False),
        ("decreases", "increases", False),
        ("3.0", "3", True),
    ],
)
def test_science_answers_in_words(answer, gold, right):
    assert compute_score("mega-science", rf"\boxed{{{answer}}}", gold)["acc"] is right
