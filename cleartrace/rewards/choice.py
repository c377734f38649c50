"""Multiple choice: the option letter in the last box."""

from __future__ import annotations

import re

from cleartrace.rewards.answer import final_part, last_boxed
from cleartrace.rewards.grade import Grade

MAX_CHARS = 2000
"""Options are quoted along with their letter, but nothing longer than this is one."""

_WRAPPER = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|bf|rm)\s*\{([^{}]*)\}")
_WORDS = re.compile(r"^(?:the\s+)?(?:correct\s+)?(?:option|choice|answer)(?:\s+is)?\s*:?\s*", re.IGNORECASE)
_LETTER = re.compile(r"^(?:\(([A-Ja-j])\)|([A-Ja-j])(?=$|[).:]))(?P<rest>.*)$", re.DOTALL)
_ANOTHER = re.compile(r"\(?\b[A-J]\)|(?:\bor\b|\band\b|[,/&])\s*\(?[A-J]\)?\W*$")


def read_choice(text: str) -> str | None:
    r"""The one option letter A to J that `text` names, in upper case, or None.

    `B`, `b`, `(B)`, `B.`, `B)`, `\text{B}`, `\textbf{(B)}`, `Option B`, and a letter with the option behind it as in
    `B. 42 m`. Text that names more than one letter (`A, B`, `A) or C)`) names none.

    Example:
        >>> [read_choice(text) for text in (r"\text{(B)}", "b.", "C) 5 kg", "A, B", "blue")]
        ['B', 'B', 'C', None, None]
    """
    if len(text) > MAX_CHARS:
        return None
    plain = _WORDS.sub("", _unwrapped(text))
    found = _LETTER.match(plain)
    if found is None or _ANOTHER.search(found.group("rest").lstrip(").:")):
        return None
    return (found.group(1) or found.group(2)).upper()


def _unwrapped(text: str) -> str:
    plain = text.strip().strip("$").strip()
    for _ in range(3):
        plain = _WRAPPER.sub(r"\1", plain)
    plain = re.sub(r"\\left\s*(?=\()|\\right\s*(?=\))|\\[ ,;:!]|~", " ", plain)
    return re.sub(r"\(\s*([A-Ja-j])\s*\)", r"(\1)", plain).strip().strip("*").strip()


def grade_choice(response: str, gold: str) -> Grade:
    """Grade the letter in the last box after the last `</think>`.

    Errors: `ValueError` when the key is not an option letter.
    """
    key = read_choice(gold)
    if key is None:
        raise ValueError(f"the answer key {gold[:40]!r} is not an option letter A to J")
    answer = last_boxed(final_part(response))
    if answer is None:
        return Grade(False, "", "no_answer")
    letter = read_choice(answer)
    if letter is None:
        return Grade(False, answer[:MAX_CHARS], "no_choice")
    return Grade(letter == key, letter)
