"""Where the call part of a turn begins, found in token ids and without decoding (D4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CallMarkers:
    """Token id sequences that open a tool call, and those that close a thought.

    Several alternatives are allowed, because a marker that is not one added token may be tokenised in more
    than one way, depending on what stands around it.

    Example:
        >>> CallMarkers(call=((7,),), think_end=((5,),)).find((7, 1, 5, 2, 7, 3))
        4
    """

    call: tuple[tuple[int, ...], ...]
    think_end: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.call or not all((*self.call, *self.think_end)):
            raise ValueError("call markers need at least one alternative, and no alternative may be empty")

    def find(self, token_ids: Sequence[int]) -> int | None:
        """See `find_boundary`."""
        return find_boundary(token_ids, self.call, self.think_end)

    def split(self, token_ids: Sequence[int]) -> list[tuple[int, ...]]:
        """The calls in `token_ids`, each with its marker; nothing before the first, all up to the next.

        Example:
            >>> CallMarkers(call=((7,),)).split((1, 7, 2, 7, 3, 4))
            [(7, 2), (7, 3, 4)]
        """
        ids = tuple(token_ids)
        starts = []
        at = self.find(ids)
        while at is not None:
            starts.append(at)
            following = [_first(ids, marker, at + 1) for marker in self.call]
            at = min((place for place in following if place is not None), default=None)
        return [ids[start:end] for start, end in zip(starts, [*starts[1:], len(ids)], strict=True)]


def find_boundary(
    token_ids: Sequence[int], markers: Sequence[Sequence[int]], think_end: Sequence[Sequence[int]] = ()
) -> int | None:
    """Index of the first token of the first call marker after the last end of thought, or None.

    Linear in the turn for a fixed set of markers. A turn without an end of thought is searched as a whole.
    """
    ids = tuple(token_ids)
    start = max((end for end in (_last_end(ids, tuple(m)) for m in think_end) if end is not None), default=0)
    found = [at for at in (_first(ids, tuple(m), start) for m in markers) if at is not None]
    return min(found, default=None)


def _first(ids: tuple[int, ...], marker: tuple[int, ...], start: int) -> int | None:
    while True:
        try:
            start = ids.index(marker[0], start)
        except ValueError:
            return None
        if ids[start : start + len(marker)] == marker:
            return start
        start += 1


def _last_end(ids: tuple[int, ...], marker: tuple[int, ...]) -> int | None:
    backwards = _first(ids[::-1], marker[::-1], 0)
    return None if backwards is None else len(ids) - backwards
