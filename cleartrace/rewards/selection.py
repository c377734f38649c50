"""Context selection (the baseline DA-RL of ContextRL): the letter a response ends on, 1 or 0, and nothing for form."""

from __future__ import annotations

import re

from cleartrace.rewards.answer import END_OF_THOUGHT, final_part
from cleartrace.rewards.choice import read_choice
from cleartrace.rewards.grade import Grade

SOURCE = "context_selection"
LETTERS = "ABCDEFGH"
"""Letters that can be keys: `I` is a word of every other answer."""

_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_LETTER = re.compile(rf"(?<![A-Za-z0-9_])([{LETTERS}])(?![A-Za-z0-9_])")
_THOUGHT = "<think>"


def grade_selection(response: str, gold: str) -> Grade:
    """Grade the letter in the last answer tag, else the last capital letter A to H that stands alone.

    Only what follows the last `</think>` counts, and a thought that never ends has no answer.

    Example:
        >>> [grade_selection(text, "B").value for text in ("B", "A? No: (B).", "<answer>b</answer> not A", "A or b")]
        [1.0, 1.0, 1.0, 0.0]

    Errors: `ValueError` when the key is not a letter A to H.
    """
    if len(gold) != 1 or gold not in LETTERS:
        raise ValueError(f"the answer key {gold[:40]!r} is not one letter A to H")
    letter = _chosen(response)
    if letter is None:
        return Grade(False, "", "no_answer", value=0.0)
    return Grade(letter == gold, letter, value=float(letter == gold))


def _chosen(response: str) -> str | None:
    if response.rfind(_THOUGHT) > response.rfind(END_OF_THOUGHT):
        return None
    answer = final_part(response)
    if tags := _TAG.findall(answer):
        return read_choice(tags[-1])
    letters = _LETTER.findall(answer)
    return letters[-1] if letters else None
