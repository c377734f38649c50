"""Grade an answer in `\\boxed{}` against a key: mathematics, and science with short answers."""

from __future__ import annotations

import re
from enum import Enum

from cleartrace.rewards.answer import assigned_name, canonical_number, final_part, last_boxed, normalize
from cleartrace.rewards.grade import Grade
from cleartrace.rewards.verify import Verdict, Verifier, shared_verifier

STRICT_CUT = 300
STRICT_WINDOW = 100
MAX_ANSWER_CHARS = 10_000
"""No answer key comes near; what is longer is wrong without being read."""

_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf)\s*\{([^{}]*)\}")


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
    if not answer or _differ_in_case(gold, answer) or " " in gold or " " in answer:
        return True
    return canonical_number(gold) is not None and canonical_number(answer) is not None


def _differ_in_case(gold: str, answer: str) -> bool:
    """Whether only the case of letters tells them apart, and it matters, as it does outside of words."""
    if gold.casefold() != answer.casefold():
        return len(gold) == 1 and len(answer) == 1
    return spoken(gold) is None or spoken(answer) is None


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


def grade_answer(response: str, gold: str, mode: MathMode = MathMode.VERIFY, verifier: Verifier | None = None) -> Grade:
    """Grade the boxed answer in `response` against the key.

    Example:
        >>> grade_answer(r"so the answer is \\boxed{72.0}", "72").correct
        True
    """
    answer = extract(response, mode)
    if answer is None:
        return Grade(False, "", "no_answer")
    if len(answer) > MAX_ANSWER_CHARS:
        return Grade(False, answer[:MAX_ANSWER_CHARS], "too_long")
    verdict = compare(gold, answer, mode, verifier)
    return Grade(verdict.equal, answer, verdict.error)


def grade_science(
    response: str, gold: str, mode: MathMode = MathMode.VERIFY, verifier: Verifier | None = None
) -> Grade:
    """As `grade_answer`; but for mode strict, a key in words is also met by the same words in another case.

    Example:
        >>> grade_science(r"\\boxed{\\text{Sodium chloride.}}", "sodium chloride").correct
        True
    """
    answer = extract(response, mode)
    if mode is not MathMode.STRICT and answer is not None and len(answer) <= MAX_ANSWER_CHARS:
        words, key = spoken(answer), spoken(gold)
        if words is not None and words == key:
            return Grade(True, answer)
    return grade_answer(response, gold, mode, verifier)


def spoken(text: str) -> str | None:
    """An answer in words, in one spelling; None for anything else.

    Where case can tell two things apart it is none: words with capitals inside, short ones in capitals. CO is not Co.
    """
    plain = " ".join(_TEXT_COMMAND.sub(r"\1", text).split()).strip("$ ").removesuffix(".")
    words = re.split(r"[ '-]+", plain)
    usual = all(word.isascii() and word.isalpha() and word in _cases(word) for word in words)
    return " ".join(words).casefold() if usual and max(map(len, words)) > 1 else None


def _cases(word: str) -> tuple[str, ...]:
    return word.lower(), word.capitalize(), word.upper() if len(word) > 2 else ""
