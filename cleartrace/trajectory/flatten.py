"""Segments to the flat lists a trainer wants, and back.

The spliced mask is derived, never set by hand (invariant 4 of the data model): a segment is spliced exactly
when the tokens before it in the flattened list are not the tokens it was sampled after.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cleartrace.trajectory.segment import Origin, Segment, SegmentKind

ORIGIN_CODES: dict[Origin, int] = {Origin.ORIGINAL: 0, Origin.GRAFTED: 1, Origin.REPLACED: 2, Origin.APPENDED: 3}
_DIGEST_BYTES = 16


class ContextHasher:
    """Incremental hash of a token sequence: blake2b over little-endian int32 bytes."""

    def __init__(self, token_ids: Iterable[int] = ()) -> None:
        self._hash = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self.update(token_ids)

    def update(self, token_ids: Iterable[int]) -> ContextHasher:
        ids = tuple(token_ids)
        self._hash.update(struct.pack(f"<{len(ids)}i", *ids))
        return self

    def digest(self) -> str:
        """Hash of everything seen so far, as hex; more tokens may follow."""
        return self._hash.hexdigest()


def context_hash(token_ids: Iterable[int]) -> str:
    """Hash of a whole token sequence."""
    return ContextHasher(token_ids).digest()


def flatten_ids(segments: Iterable[Segment]) -> tuple[int, ...]:
    """All token ids in order: what the engine must be given as a prompt at this moment."""
    return tuple(token for segment in segments for token in segment.token_ids)


@dataclass(frozen=True)
class FlatTrajectory:
    """A trajectory as a trainer takes it. All response fields have one length.

    `response_mask` is 1 on trained tokens. `response_logprobs` (natural log, of the sampler, in the context
    really used) is 0.0 on tokens that were not sampled, and None when the engine reported none.
    `spliced_mask` is 1 on tokens sampled in another context than the one they stand in; `origin_codes` are
    `ORIGIN_CODES`; `exhausted_mask` is 1 on failed turns kept after their repair failed, trained or not.
    """

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    response_mask: tuple[int, ...]
    response_logprobs: tuple[float, ...] | None
    spliced_mask: tuple[int, ...]
    origin_codes: tuple[int, ...]
    exhausted_mask: tuple[int, ...]

    def __post_init__(self) -> None:
        n = len(self.response_ids)
        for name in ("response_mask", "response_logprobs", "spliced_mask", "origin_codes", "exhausted_mask"):
            values = getattr(self, name)
            if values is not None and len(values) != n:
                raise ValueError(f"{name} has {len(values)} entries for {n} response tokens")

    def cut(self, response_length: int) -> FlatTrajectory:
        """The same trajectory with at most `response_length` response tokens."""
        end = max(response_length, 0)
        logprobs = self.response_logprobs
        return replace(
            self,
            response_ids=self.response_ids[:end],
            response_mask=self.response_mask[:end],
            response_logprobs=None if logprobs is None else logprobs[:end],
            spliced_mask=self.spliced_mask[:end],
            origin_codes=self.origin_codes[:end],
            exhausted_mask=self.exhausted_mask[:end],
        )


def split_prompt(segments: Sequence[Segment]) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Leading prompt segments, and the rest.

    Raises:
        ValueError: no prompt at the start, or a prompt segment inside the response.
    """
    start = next((i for i, s in enumerate(segments) if s.kind is not SegmentKind.PROMPT), len(segments))
    if start == 0:
        raise ValueError("a trajectory must start with a prompt segment")
    response = tuple(segments[start:])
    for i, segment in enumerate(response):
        if segment.kind is SegmentKind.PROMPT:
            raise ValueError(f"prompt segment at index {start + i}, behind the start of the response")
    return tuple(segments[:start]), response


def flatten(segments: Sequence[Segment]) -> FlatTrajectory:
    """Flatten a trajectory; the leading prompt segments become the prompt side.

    Raises:
        ValueError: see `split_prompt`; or some assistant segments have log-probs and others do not.
    """
    prompt, response = split_prompt(segments)
    with_logprobs = _has_logprobs(response)
    hasher = ContextHasher(flatten_ids(prompt))
    logprobs: list[float] = []
    spliced: list[int] = []
    for segment in response:
        n = len(segment)
        moved = segment.sampled and segment.provenance.context_hash != hasher.digest()
        spliced += [int(moved)] * n
        logprobs += segment.logprobs if segment.logprobs is not None else (0.0,) * n
        hasher.update(segment.token_ids)
    return FlatTrajectory(
        prompt_ids=flatten_ids(prompt),
        response_ids=flatten_ids(response),
        response_mask=tuple(int(s.loss) for s in response for _ in s.token_ids),
        response_logprobs=tuple(logprobs) if with_logprobs else None,
        spliced_mask=tuple(spliced),
        origin_codes=tuple(ORIGIN_CODES[s.provenance.origin] for s in response for _ in s.token_ids),
        exhausted_mask=tuple(int(s.provenance.exhausted) for s in response for _ in s.token_ids),
    )


def _has_logprobs(response: Sequence[Segment]) -> bool:
    present = {s.logprobs is not None for s in response if s.is_assistant}
    if len(present) > 1:
        raise ValueError("some assistant segments carry log-probs and others do not: it must be all or none")
    return present == {True}
