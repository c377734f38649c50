"""Find the final answer in a response, and bring simple answers to one spelling. Pure string functions."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

END_OF_THOUGHT = "</think>"

_BOX = re.compile(r"\\boxed\s*\{")
_CHOICE = re.compile(r"^\(?([A-J])[).:]?$")
_GROUPED_DIGITS = re.compile(r"^[+-]?\d{1,3}(?:(?:,|\{,\})\d{3})+(?:\.\d+)?$")
_DECIMAL = re.compile(r"^[+-]?(?:\d+\.?\d*|\.\d+)$")
_SHORT_FRACTION = re.compile(r"\\frac\s*(?:(\d)\s*(\d)|(\d)\s*(\{[^{}]*\})|(\{[^{}]*\})\s*(\d))")
_SHORT_ROOT = re.compile(r"\\sqrt\s*([0-9A-Za-z])")
_PLAIN_ROOT = re.compile(r"(?<![\\A-Za-z])sqrt\s*(?:\(([^()]*)\)|\{([^{}]*)\})")
_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textrm)\s*\{([^{}]*)\}")
_MIXED_NUMBER = re.compile(r"^([+-]?\d+)\s+(\d+)/(\d+)$")
_GROUPS_OF_DIGITS = re.compile(r"^[+-]?\d{1,3}(?:\\[,;:!> ]\d{3})+$")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)(?:\\[,;:!> ]|~|\s)+(?=\d)")
_SPACING = re.compile(r"\\[,;:!> ]|\\(?:left|right|displaystyle|quad|qquad|big|Big)(?![A-Za-z])|~|(?<!\d)\s+|\s+(?!\d)")
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degree(?![A-Za-z])|°")
_ASSIGNMENT = re.compile(r"^([A-Za-z](?:_\{?\w+\}?)?)=(?=[^=]+$)")

_MAX_EXACT_DIGITS = 400


def final_part(text: str) -> str:
    """What follows the last end-of-thought mark; the whole text when there is none (D46)."""
    return text.rpartition(END_OF_THOUGHT)[2]


def last_boxed(text: str) -> str | None:
    """Content of the last `\\boxed{...}`, nested braces included; None when there is none or it never closes.

    A box that never closes is a cut-off answer, so no earlier box is taken in its place.

    Example:
        >>> last_boxed(r"first \\boxed{1}, then \\boxed{\\frac{1}{2}}")
        '\\\\frac{1}{2}'
    """
    matches = list(_BOX.finditer(text))
    if not matches:
        return None
    start = matches[-1].end()
    depth = 1
    position = start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 2
            continue
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[start:position]
        position += 1
    return None


def canonical_number(text: str) -> str | None:
    """`"72.0"`, `"+72"`, `"1,234"` -> `"72"`, `"72"`, `"1234"`; None for what is not one plain decimal number."""
    if len(text) > _MAX_EXACT_DIGITS:
        return None
    if _GROUPED_DIGITS.match(text):
        text = text.replace("{,}", "").replace(",", "")
    if not _DECIMAL.match(text):
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    plain = format(value, "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in ("-0", "") else plain


def _expand_fraction(match: re.Match[str]) -> str:
    numerator, denominator = (group for group in match.groups() if group is not None)
    return rf"\frac{{{numerator.strip('{}')}}}{{{denominator.strip('{}')}}}"


def assigned_name(answer: str) -> str | None:
    """`x` of `x = 5`; None for an answer without a name."""
    match = _ASSIGNMENT.match(_SPACING.sub("", answer.strip().strip("$")))
    return match.group(1) if match else None


def normalize(answer: str) -> str:
    """One spelling for the usual variants of one answer: spacing, `$`, text commands, fractions, numbers, choices.

    Units that answer keys leave out (degrees, dollars, a final per cent sign) go, so 25% reads as 25, not as 1/4.
    A space between digits stays: 1 2 is not 12, and 3 1/2 is not 31/2. The result is still LaTeX, fit for a
    symbolic comparison.
    """
    text = answer.strip().strip("$").strip()
    text = _TEXT.sub(r"\1", text)
    text = _MIXED_NUMBER.sub(r"\1\\frac{\2}{\3}", text)
    text = _BETWEEN_DIGITS.sub("" if _GROUPS_OF_DIGITS.match(text) else " ", text)
    text = _SPACING.sub("", text)
    text = text.replace(r"\$", "").replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac")
    text = text.replace("−", "-").removesuffix("%").removesuffix("\\")
    text = _DEGREES.sub("", text)
    text = _PLAIN_ROOT.sub(lambda match: rf"\sqrt{{{match.group(1) or match.group(2)}}}", text)
    text = _SHORT_ROOT.sub(r"\\sqrt{\1}", text)
    text = _SHORT_FRACTION.sub(_expand_fraction, text)
    text = _ASSIGNMENT.sub("", text)
    if len(text) > 1 and text.endswith("."):
        text = text[:-1]
    if choice := _CHOICE.match(text):
        return choice.group(1)
    return canonical_number(text) or text
