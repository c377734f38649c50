"""Where the calls of a turn begin: a search that knows thoughts, and the way back from text to tokens (D4).

A turn is decoded once, byte by byte of its tokens, so an offset in its text belongs to one token whatever way the
model tokenised a marker. Everything here is linear in the turn.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

_ERRORS = "surrogateescape"  # a turn cut inside a character still has one text, and the text its bytes


@dataclass(frozen=True)
class Thought:
    """The texts around a thought; nothing inside it is a call."""

    opens: str = "<think>"
    closes: str = "</think>"


@dataclass(frozen=True)
class TurnText:
    """The text of a turn, and which token each of its characters belongs to.

    Args:
        parts: bytes of each token, in order. Bytes that are not UTF-8 become lone surrogates in `text`.

    Example:
        >>> turn = TurnText((b"So ", b"<to", b"ol_call>", b"{}"))
        >>> turn.text, turn.token_at(turn.text.index("<tool_call>"))
        ('So <tool_call>{}', 1)
    """

    parts: tuple[bytes, ...]

    @cached_property
    def text(self) -> str:
        return b"".join(self.parts).decode("utf-8", _ERRORS)

    def token_at(self, offset: int) -> int:
        """Index of the token with the first byte of character `offset`."""
        if not 0 <= offset < len(self.text):
            raise IndexError(f"character {offset} of a turn of {len(self.text)} characters")
        return bisect_right(self._ends, len(self.text[:offset].encode("utf-8", _ERRORS)))

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(map(len, self.parts)))


def alternatives(texts: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds the earliest of `texts`."""
    return re.compile("|".join(map(re.escape, texts)))


def first_call(
    text: str,
    opens: re.Pattern[str],
    closes: re.Pattern[str] | None = None,
    *,
    thought: Thought | None = None,
    in_thought: bool = False,
) -> re.Match[str] | None:
    """The first match of `opens` that is not inside a thought, or None.

    An unclosed thought has no call. A thought that was closed without having been opened counts as one, if its end
    does not stand inside a call that `closes`: a program may print the tag.

    Args:
        in_thought: the prompt ends inside a thought, so the turn begins there.

    Example:
        >>> call = alternatives(["<call>"])
        >>> first_call("<think>a <call>? no</think> <call>", call, thought=Thought()).start()
        28
    """
    start = _skip(text, thought, 0) if thought and in_thought else 0
    ends: list[int] | None = None
    while start is not None and (found := opens.search(text, start)):
        if thought is None:
            return found
        thinking = text.find(thought.opens, start, found.start())
        if thinking >= 0:
            start = _skip(text, thought, thinking)
            continue
        if ends is None:
            ends = [m.end() for m in closes.finditer(text)] if closes else []
        stray = _stray_end(text, found, opens, ends, thought) if closes else None
        if stray is None:
            return found
        start = stray
    return None


def _skip(text: str, thought: Thought, start: int) -> int | None:
    """Behind the end of the thought around `start`; None when it is not closed."""
    end = text.find(thought.closes, start)
    return None if end < 0 else end + len(thought.closes)


def _stray_end(
    text: str, call: re.Match[str], opens: re.Pattern[str], ends: Sequence[int], thought: Thought
) -> int | None:
    """Behind the first end of a thought at or after `call` that is not inside a closed call; calls close at `ends`."""
    following: re.Match[str] | None = call
    while following is not None:
        close = bisect_right(ends, following.end())
        if close == len(ends):
            return _skip(text, thought, following.end())
        following = opens.search(text, ends[close])
        end = text.find(thought.closes, ends[close], following.start() if following else len(text))
        if end >= 0:
            return end + len(thought.closes)
    return None
