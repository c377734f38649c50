"""D46, D47: answers are found and compared as a reader would."""

import threading
import time

import pytest

from cleartrace.rewards.answer import canonical_number, final_part, last_boxed, normalize
from cleartrace.rewards.math import MathMode, ScoreScale, compare, extract, grade_answer
from cleartrace.rewards.verify import MAX_CHARS, Verifier, VerifierUnavailable

EQUIVALENT = [
    ("7/2", "3 1/2"),
    ("1234", r"1\,234"),
    ("x=5", "x = 5"),
    ("72", "72.0"),
    ("1234", "1,234"),
    ("1234567", r"1{,}234{,}567"),
    (r"\frac{1}{2}", r"\dfrac{1}{2}"),
    (r"\frac{1}{2}", r"\frac12"),
    (r"\frac{1}{2}", "1/2"),
    (r"\frac{1}{2}", "0.5"),
    (r"\sqrt{2}", r"\sqrt2"),
    (r"\sqrt{2}", "sqrt(2)"),
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}"),
    ("x^2+2x+1", "(x+1)^2"),
    ("2x+1", "1 + 2x"),
    ("(1,2)", r"\left( 1, 2 \right)"),
    (r"\{1,2,3\}", r"\{3, 2, 1\}"),
    ("B", r"\text{(B)}"),
    ("90", r"90^\circ"),
    ("-3", "−3"),
    ("5", "x = 5"),
    ("25", r"25\%"),
    ("18", r"\$18"),
    (r"2\pi", r"\pi \cdot 2"),
    ("[0,1)", r"[0, 1)"),
    ("Yes", r"\text{yes}"),
    ("No", "no"),
]
DIFFERENT = [
    ("72", "72.5"),
    ("72", "-72"),
    ("1234", "1,235"),
    ("12", "1,2"),
    ("12", "1 2"),
    ("12", r"1\ 2"),
    ("31/2", "3 1/2"),
    ("x=5", "y=5"),
    (r"\frac{1}{2}", r"\frac{2}{1}"),
    (r"\frac{1}{2}", "0.51"),
    (r"\sqrt{2}", "2"),
    (r"\sqrt{2}", r"-\sqrt{2}"),
    ("x^2+2x+1", "(x-1)^2"),
    ("2x+1", "2x-1"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", "[1,2]"),
    (r"\{1,2,3\}", r"\{1,2\}"),
    ("B", r"\text{(C)}"),
    ("A", "a"),
    ("90", "9"),
    ("x", "y"),
    ("5", "x = 6"),
    (r"2\pi", r"\pi^2"),
    ("10^6", "10^5"),
    ("5", ""),
    ("0", r"\text{zero dollars}"),
    ("AB", "ab"),
    (r"\frac{a}{2}", r"\frac{A}{2}"),
]


@pytest.fixture(scope="module")
def verifier():
    verifier = Verifier(cpu_s=5)
    yield verifier
    verifier.close()


@pytest.mark.parametrize(("gold", "answer"), EQUIVALENT)
def test_equivalent_answers_are_equal(gold, answer, verifier):
    assert compare(gold, answer, MathMode.VERIFY, verifier).equal


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_different_answers_differ(gold, answer, verifier):
    verdict = compare(gold, answer, MathMode.VERIFY, verifier)
    assert not verdict.equal
    assert verdict.error == ""


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_normalisation_alone_never_joins_different_answers(gold, answer):
    assert not compare(gold, answer, MathMode.NORMALIZED).equal


def test_comparison_works_in_many_threads_at_once(verifier):
    verdicts = {}

    def work(index: int) -> None:
        verdicts[index] = compare(f"x+{index}", f"{index}+x", MathMode.VERIFY, verifier).equal

    threads = [threading.Thread(target=work, args=(index,)) for index in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == {index: True for index in range(1, 9)}


@pytest.fixture(scope="module")
def hasty():
    verifier = Verifier(cpu_s=0.5)
    yield verifier
    verifier.close()


@pytest.mark.parametrize("endless", ["9^{9^{9}}", "99999999!", r"\sum_{n=1}^{10000000} \sin(n)"])
def test_an_endless_computation_is_cut_and_the_next_pair_is_served(endless, hasty):
    assert compare("x+1", "1+x", MathMode.VERIFY, hasty).equal
    start = time.monotonic()
    verdict = hasty.compare("7+x", endless)
    assert (verdict.equal, verdict.error) == (False, "timeout")
    assert time.monotonic() - start < 30
    assert compare("x+1", "1+x", MathMode.VERIFY, hasty).equal


def test_a_very_long_answer_is_refused_before_it_is_parsed(verifier):
    assert compare("7", "1+" * MAX_CHARS + "x", MathMode.VERIFY, verifier).error == "too_long"


def test_a_killed_worker_is_replaced(verifier):
    assert verifier.compare("x+1", "1+x").equal
    verifier._process.kill()
    verifier._process.wait()
    assert verifier.compare("x+1", "1+x").equal


def test_no_verdict_is_made_up_when_two_workers_fail():
    verifier = Verifier(wall_s=0)
    with pytest.raises(VerifierUnavailable, match="worker process gave no answer"):
        verifier.compare("x+1", "1+x")
    verifier.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{1} and \boxed{2}", "2"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed {3}", "3"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ 1 \right.}", r"\left\{ 1 \right."),
        (r"\boxed{1} then \boxed{2", None),
        (r"\boxed 5", None),
        ("5", None),
        (r"\boxed{}", ""),
    ],
)
def test_last_boxed(text, expected):
    assert last_boxed(text) == expected


def test_only_what_follows_the_last_thought_is_graded():  # D46
    text = r"<think>\boxed{1}</think> so <think>\boxed{2}</think> the answer is \boxed{3}"
    assert final_part(text) == r" the answer is \boxed{3}"
    assert extract(r"<think>\boxed{1}</think> no idea", MathMode.VERIFY) is None
    assert grade_answer(text, "3").correct


def test_strict_mode_is_the_published_rule():
    assert grade_answer(r"\boxed{72}", "72", MathMode.STRICT).correct
    assert not grade_answer(r"\boxed{72.0}", "72", MathMode.STRICT).correct
    assert grade_answer(r"\boxed{72}" + "x" * 90, "72", MathMode.STRICT).correct
    late = grade_answer(r"\boxed{72}" + "x" * 91, "72", MathMode.STRICT)
    assert (late.correct, late.error) == (False, "no_answer")
    assert grade_answer(r"\boxed{72}" + "x" * 91, "72", MathMode.NORMALIZED).correct


def test_scales():
    assert [ScoreScale.SYMMETRIC.score(correct) for correct in (True, False)] == [1.0, -1.0]
    assert [ScoreScale.BINARY.score(correct) for correct in (True, False)] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("-0.0", "0"), ("0.50", "0.5"), ("+7", "7"), (".5", "0.5"), ("100", "100"), ("1e3", None), ("1,23", None)],
)
def test_canonical_number(text, expected):
    assert canonical_number(text) == expected


@pytest.mark.parametrize("answer", [gold for gold, _ in EQUIVALENT + DIFFERENT])
def test_normalize_is_idempotent(answer):
    assert normalize(normalize(answer)) == normalize(answer)
