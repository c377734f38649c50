"""Questions with a short answer in words, such as "kitchen": exact match after normalisation, as for SQuAD."""

from __future__ import annotations

import re
import string

from cleartrace.rewards.answer import final_part
from cleartrace.rewards.grade import Grade

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
    """Lower case, without punctuation and articles, single blanks.

    Example:
        >>> normalized("In the Kitchen.")
        'in kitchen'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def grade_phrase(response: str, gold: str) -> Grade:
    """Grade what follows the last `</think>`, as a whole: an answer with more words than the key is wrong.

    Several keys that are equally right are divided by `|`.

    Errors: `ValueError` for a key without a word.
    """
    keys = [normalized(key) for key in gold.split("|")]
    if not all(keys):
        raise ValueError(f"the answer key {gold[:40]!r} has no word")
    answer = final_part(response).strip()
    return Grade(normalized(answer) in keys, answer[:200], "" if answer else "no_answer")
