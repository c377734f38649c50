"""Small texts that prompts share: scores, cuts."""

from __future__ import annotations

from typing import Any

from cleartrace.episodes.types import PASS


def percent(score: float | None) -> str:
    """A score in [0, 1] as a share of 100 (S5). Only a full pass reads as 100 %, only 0 as 0 %.

    Example:
        >>> percent(0.67), percent(0.999), percent(1.0), percent(0.001), percent(None)
        ('67 %', '99 %', '100 %', '1 %', 'not scored')
    """
    if score is None:
        return "not scored"
    if score >= PASS:
        return "100 %"
    return f"{min(99, max(1, round(100 * score))) if score > 0 else 0} %"


def cut(text: str, limit: int) -> str:
    """At most `limit` characters: start and end of `text`, and between them how much is left out.

    Example:
        >>> cut("a" * 50 + "b" * 50, 50)
        'aaaaaaaaaaaa [77 characters left out] bbbbbbbbbbb'
    """
    if len(text) <= limit:
        return text
    mark = f" [{len(text)} characters left out] "
    kept = limit - len(mark)
    if kept <= 0:
        return text[:limit]
    half = kept // 2
    start, end = text[: kept - half], text[len(text) - half :]
    return start + f" [{len(text) - kept} characters left out] " + end


def shorten(value: Any, limit: int) -> str:
    """`value` as one line of at most `limit` characters, cut at its end."""
    line = " ".join(str(value).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def size(text: str) -> int:
    """UTF-8 bytes."""
    return len(text.encode("utf-8", "surrogatepass"))
