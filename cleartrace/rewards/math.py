"""Reward for an answer in `\\boxed{}`: mathematics, science with short answers, and multiple choice."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cleartrace.rewards.answer import assigned_name, canonical_number, final_part, last_boxed, normalize
from cleartrace.rewards.verify import Verdict, Verifier, shared_verifier

STRICT_CUT = 300
STRICT_WINDOW = 100


class MathMode(str, Enum):
    """How an answer is compared with the key."""

    STRICT = "strict"
    """The published rule: the last box within the last 100 characters, equal to the key as a string."""
    NORMALIZED = "normalized"
    """Equal after both were brought to one spelling; nothing is computed."""
    VERIFY = "verify"
    """As `NORMALIZED`, then symbolic equality by math-verify."""


class ScoreScale(str, Enum):
    """Score of a right and of a wrong answer."""

    SYMMETRIC = "symmetric"
    """1 and -1, as published."""
    BINARY = "binary"
    """1 and 0."""

    def score(self, correct: bool) -> float:
        if correct:
            return 1.0
        return -1.0 if self is ScoreScale.SYMMETRIC else 0.0


@dataclass(frozen=True)
class AnswerGrade:
    """`pred` is the boxed text as written, "" when there is none; `error` says why an answer could not be compared."""

    correct: bool
    pred: str
    error: str = ""


def extract(response: str, mode: MathMode) -> str | None:
    """The boxed answer that `mode` looks at, or None.

    Strict looks at the raw tail (the last 100 of the last 300 characters), as published, so a box that starts
    before it is not found. The other modes read everything after the last `</think>` (D46, D47).
    """
    if mode is MathMode.STRICT:
        return last_boxed(response[-STRICT_CUT:][-STRICT_WINDOW:])
    return last_boxed(final_part(response))


def _settled(gold: str, answer: str) -> bool:
    """True when two unequal answers need no algebra, or when algebra would mislead: math-verify compares a blank
    answer as "nothing", letters without their case, and reads digits over a space between them."""
    if not answer or (len(gold) == 1 and len(answer) == 1) or " " in gold or " " in answer:
        return True
    return canonical_number(gold) is not None and canonical_number(answer) is not None


def compare(gold: str, answer: str, mode: MathMode, verifier: Verifier | None = None) -> Verdict:
    """Whether `answer` equals the key `gold`.

    Errors: `VerifierUnavailable` (mode verify only) when the comparison could not be made for reasons
    that are not the answer's.
    """
    if mode is MathMode.STRICT:
        return Verdict(answer == gold)
    names = {assigned_name(gold), assigned_name(answer)} - {None}
    if len(names) > 1:
        return Verdict(False)
    gold_text, answer_text = normalize(gold), normalize(answer)
    if gold_text == answer_text:
        return Verdict(True)
    if mode is MathMode.NORMALIZED or _settled(gold_text, answer_text):
        return Verdict(False)
    return (verifier or shared_verifier()).compare(gold_text, answer_text)


def grade_answer(
    response: str, gold: str, mode: MathMode = MathMode.VERIFY, verifier: Verifier | None = None
) -> AnswerGrade:
    """Grade the boxed answer of a whole response (all turns, tool outputs included) against the key.

    Example:
        >>> grade_answer(r"so the answer is \\boxed{72.0}", "72").correct
        True
    """
    answer = extract(response, mode)
    if answer is None:
        return AnswerGrade(False, "", "no_answer")
    verdict = compare(gold, answer, mode, verifier)
    return AnswerGrade(verdict.equal, answer, verdict.error)
