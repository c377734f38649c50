"""What all providers share: how an answer is made, how much of a text fits, how state becomes a hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable

from cleartrace.context.provider import ContextProvider
from cleartrace.episodes.types import Context, PartRef, Usage
from cleartrace.llm.tokens import count_tokens
from cleartrace.trajectory.record import written

Count = Callable[[str], int]
"""Tokens of a text."""

_BREAKS = (re.compile(r"\n+"), re.compile(r"(?<=[.!?])\s+"), re.compile(r"\s+"))
_SAMPLES = ("", "Check the date before you book.", "x = {'a': [1, 2, 30]}\n\n\t# done", "Größe, 模型, 🙂", "zq" * 40)


class OverCap(ValueError):
    """A text is longer than its provider may say."""


def answer(
    text: str,
    parts: tuple[PartRef, ...],
    hash: str,
    cap: int | None,
    count: Count = count_tokens,
    probe: str = "",
    usage: Usage | None = None,
) -> Context:
    """A context that keeps the contract: abstained exactly where it is empty, and never over `cap` tokens.

    Errors: `OverCap`, where a provider let a text through that it should have cut.
    """
    text = str(written(text))
    if cap is not None and (n := count(text)) > cap:
        raise OverCap(f"a context of {n} tokens; {cap} are allowed")
    return Context(
        text=text,
        parts=parts if text else (),
        provider_hash=hash,
        probe=probe,
        abstained=not text,
        usage=usage or Usage(),
    )


def probe_of(provider: ContextProvider) -> str:
    """What a provider marks its answers as, where it is not asked for one; "" where it makes no probes."""
    return getattr(provider, "probe", "")


def state_hash(kind: str, *state: object) -> str:
    """16 hexadecimal characters over JSON values."""
    text = json.dumps([kind, *state], ensure_ascii=True, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def constant_hash(text: str, parts: tuple[PartRef, ...], probe: str = "") -> str:
    """Of a provider that always says the same: its answer is its whole state, so equal answers have equal hashes."""
    return state_hash("constant", text, [part.model_dump(mode="json") for part in parts if text], probe)


def cap_state(cap: int | None, count: Count) -> object:
    """What of a cap can change an answer: the number, and how tokens are counted."""
    return None if cap is None else [cap, [count(sample) for sample in _SAMPLES]]


def cut_to(text: str, cap: int | None, count: Count = count_tokens) -> str:
    """As much of the start of `text` as fits: whole lines, or else whole sentences, or else whole words.

    Example:
        >>> cut_to("One two three.\\nFour five six.", 5, lambda text: len(text.split()))
        'One two three.'
    """
    if cap is None or count(text) <= cap:
        return text
    for breaks in _BREAKS:
        ends = [found.start() for found in breaks.finditer(text)]
        low, high = 0, len(ends)
        while low < high:
            middle = (low + high) // 2
            if count(text[: ends[middle]].rstrip()) <= cap:
                low = middle + 1
            else:
                high = middle
        # Counts of prefixes need not rise evenly, so what the search found is looked at again.
        while low and count(text[: ends[low - 1]].rstrip()) > cap:
            low -= 1
        if low and (start := text[: ends[low - 1]].rstrip()):
            return start
    return ""
