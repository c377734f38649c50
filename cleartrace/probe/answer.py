"""One line of `answers.jsonl`, and how a letter is read from text or from log-probabilities."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from cleartrace.probe.names import Arm, Status


class Answer(BaseModel):
    """What a model said to one prompt.

    Args:
        prompt: key of the prompt; other asks with this key share the answer.
        letter: the chosen letter, "" where there is none.
        margin: log-odds of the first letter against the second, in nats; None where it is not known.
        mass: joint probability of both letters; None where it is not known.
        text: what was generated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str
    pair_id: str
    arm: Arm
    order: str
    status: Status
    letter: str = ""
    margin: float | None = None
    mass: float | None = None
    text: str = ""
    error: str = ""
    tries: int = 1
    seconds: float = 0.0


def letter_of_margin(margin: float, letters: tuple[str, str]) -> str:
    """The letter with the higher logit; "" for a tie, which chooses nothing."""
    if margin == 0 or math.isnan(margin):
        return ""
    return letters[0] if margin > 0 else letters[1]


def parse_letter(text: str, letters: Sequence[str]) -> str:
    """The one letter that an answer gives, or "" when it gives none or more than one.

    Thinking does not count, and an answer that breaks off while thinking gives none. A letter must be all that is
    said, or be named as the answer: the article "A" is no choice.

    Example:
        >>> [parse_letter(text, "AB") for text in ("(B).", "The correct option is A", "A cat is in B", "A or B")]
        ['B', 'A', '', '']
    """
    said = text.rpartition("</think>")[2] if "</think>" in text else text
    if "<think>" in said:
        return ""
    either = "|".join(map(re.escape, letters))
    alone = re.fullmatch(rf"(?:context|option|answer|choice|boxed|\W)*({either})\W*", said.strip(), re.IGNORECASE)
    if alone and alone[1] in letters:
        return alone[1]
    named = re.findall(
        rf"(?i:\b(?:answer|option|choice|context|correct|boxed)\b)(?i:\W|\bis\b|\boption\b|\bcontext\b)*({either})\b",
        said,
    )
    return named[0] if len(set(named)) == 1 else ""


def read_top_logprobs(top: Mapping[str, float], letters: tuple[str, str]) -> tuple[str, float | None, float]:
    """(letter, margin, mass) from the likeliest first tokens of an answer and their log-probabilities.

    Spellings with and without a space count together. Where only one letter is listed it is the choice, and the
    margin is not known.
    """
    sums = [sum(math.exp(value) for token, value in top.items() if _bare(token) == letter) for letter in letters]
    mass = min(sum(sums), 1.0)
    if not any(sums):
        return "", None, 0.0
    if not all(sums):
        return letters[0] if sums[0] else letters[1], None, mass
    margin = math.log(sums[0]) - math.log(sums[1])
    return letter_of_margin(margin, letters), margin, mass


def _bare(token: str) -> str:
    return token.lstrip("Ġ▁").strip()
