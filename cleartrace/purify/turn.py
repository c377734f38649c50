"""One assistant turn as SAAR sees it: its segments and what can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cleartrace.purify.config import MaskedPart
from cleartrace.trajectory.flatten import ContextHasher, flatten_ids
from cleartrace.trajectory.segment import Origin, Provenance, Segment, SegmentKind


@dataclass(frozen=True)
class Turn:
    """An assistant turn, sampled or spliced.

    Args:
        segments: reasoning and call part, in order; either may be absent.
        position: assistant turn number; all attempts at one call share it.
        attempt: 0 for the first attempt.
        has_call: True when the model tried to call a tool, readable or not: a call that cannot be parsed is
            a call with a format error, not a turn without one (D9).
        code: parsed source of all calls, joined by newlines; the raw text of a call that cannot be parsed.
        call_text: decoded call part with markers; needed for `basis: wrapped` only.
    """

    segments: tuple[Segment, ...]
    position: int
    attempt: int = 0
    has_call: bool = True
    code: str = ""
    call_text: str = ""

    def __post_init__(self) -> None:
        if not self.segments or not all(s.is_assistant for s in self.segments):
            raise ValueError(f"the turn at position {self.position} needs sampled segments, and only those")

    @property
    def token_ids(self) -> tuple[int, ...]:
        return flatten_ids(self.segments)

    @property
    def reasoning(self) -> tuple[Segment, ...]:
        return tuple(s for s in self.segments if s.kind is SegmentKind.ASSISTANT_REASONING)

    @property
    def call(self) -> tuple[Segment, ...]:
        """Segments of the call part; empty when the turn cannot be split."""
        return tuple(s for s in self.segments if s.kind is SegmentKind.ASSISTANT_CALL)


def sampled_turn(
    context_ids: Sequence[int],
    token_ids: Sequence[int],
    logprobs: Sequence[float] | None,
    boundary: int | None,
    *,
    position: int,
    attempt: int = 0,
    has_call: bool | None = None,
    code: str = "",
    call_text: str = "",
) -> Turn:
    """A turn as the engine returned it.

    Args:
        context_ids: the prompt of this very request, error feedback included.
        token_ids: sampled ids, at least one.
        logprobs: their sampler log-probs, or None.
        boundary: index of the first token of the call part, or None.
        has_call: defaults to `boundary is not None`.
    """
    ids = tuple(token_ids)
    if not ids:
        raise ValueError(f"no tokens were sampled at position {position}: pass None to on_regenerated instead")
    if logprobs is not None and len(logprobs) != len(ids):
        raise ValueError(f"{len(logprobs)} log-probs for {len(ids)} sampled tokens at position {position}")
    cut = len(ids) if boundary is None else boundary
    hasher = ContextHasher(context_ids)
    segments = []
    parts = ((SegmentKind.ASSISTANT_REASONING, 0, cut), (SegmentKind.ASSISTANT_CALL, cut, len(ids)))
    for kind, start, end in parts:
        if start < end:
            provenance = Provenance(position=position, attempt=attempt, context_hash=hasher.digest())
            values = None if logprobs is None else tuple(logprobs[start:end])
            segments.append(Segment(kind, ids[start:end], True, values, provenance))
        hasher.update(ids[start:end])
    calls = boundary is not None if has_call is None else has_call
    return Turn(tuple(segments), position, attempt, calls, code, call_text)


def with_origin(
    segments: Sequence[Segment], origin: Origin, *, policy: str, similarity: float | None
) -> tuple[Segment, ...]:
    """The same tokens, labelled with how they came here."""
    return tuple(
        replace(s, provenance=replace(s.provenance, origin=origin, policy=policy, similarity=similarity))
        for s in segments
    )


def as_next_turn(turn: Turn, policy: str) -> Turn:
    """A regeneration that is to stand behind the failure it was shown: the first attempt at the next position."""
    position = turn.position + 1
    segments = tuple(
        replace(
            s, provenance=replace(s.provenance, origin=Origin.APPENDED, policy=policy, position=position, attempt=0)
        )
        for s in turn.segments
    )
    return replace(turn, segments=segments, position=position, attempt=0)


def label_failure(turn: Turn, error_class: str, *, exhausted: bool = False, mask: MaskedPart = MaskedPart.NONE) -> Turn:
    """Label a failed turn that stays in the trajectory, and take it out of the loss as `mask` says (D18).

    `call` masks the whole turn when it cannot be split.
    """
    call = turn.call or turn.segments
    masked = {MaskedPart.NONE: (), MaskedPart.CALL: call, MaskedPart.TURN: turn.segments}[mask]
    segments = []
    for segment in turn.segments:
        failed = error_class if segment in call else None
        provenance = replace(segment.provenance, error_class=failed, exhausted=exhausted)
        segments.append(replace(segment, provenance=provenance, loss=segment.loss and segment not in masked))
    return replace(turn, segments=tuple(segments))
