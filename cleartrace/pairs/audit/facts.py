"""What a pair looks like from outside: lengths, turns, words shared with the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cleartrace.pairs.record import Context, Message, Pair

_TOKEN = re.compile(r"\w+|[^\w\s]")


def tokens(text: str) -> list[str]:
    """Words and single punctuation marks, in lower case."""
    return _TOKEN.findall(text.lower())


def context_text(context: Context) -> str:
    """Text of a context; an image counts by its path, which must not tell anything either."""
    if isinstance(context, str):
        return context
    if isinstance(context, tuple):
        return "\n".join(message.content for message in context)
    return context.path


def turns(context: Context) -> int:
    """Messages by the agent; 1 for a context that is no trajectory."""
    if not isinstance(context, tuple):
        return 1
    return sum(isinstance(message, Message) and message.role == "assistant" for message in context)


def ngrams(words: Sequence[str], n: int = 5) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def ngram_overlap_gap(answer: str, pos: str, neg: str, n: int = 5) -> float:
    """Share of the answer's n-grams found in `pos` minus the share found in `neg`, in [-1, 1].

    Example:
        >>> ngram_overlap_gap("a b c d e", "x a b c d e y", "nothing of it")
        1.0
    """
    wanted = ngrams(tokens(answer), n)
    if not wanted:
        return 0.0
    shares = [len(wanted & ngrams(tokens(text), n)) / len(wanted) for text in (pos, neg)]
    return shares[0] - shares[1]


def length_ratio(pair: Pair) -> float:
    """Tokens of the supporting over those of the confounding context."""
    return len(tokens(context_text(pair.pos))) / max(1, len(tokens(context_text(pair.neg))))
