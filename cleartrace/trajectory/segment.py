"""A trajectory as a list of immutable segments, each with its provenance.

A rollback is an edit of this list (keep the old list, append other segments); flattening to token ids, mask
and log-probs happens once, at the end (`cleartrace.trajectory.flatten`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class SegmentKind(str, Enum):
    """What a run of tokens is."""

    PROMPT = "prompt"
    ASSISTANT_REASONING = "assistant_reasoning"
    """Sampled tokens before the tool-call marker, or a whole turn without a call."""
    ASSISTANT_CALL = "assistant_call"
    """Sampled tokens from the tool-call marker to the end of the turn, end-of-turn token included."""
    TOOL = "tool"
    """A tool message with its template tokens and the generation prompt after it."""
    BOUNDARY = "boundary"
    """Template tokens between messages that belong to neither."""


ASSISTANT_KINDS = frozenset({SegmentKind.ASSISTANT_REASONING, SegmentKind.ASSISTANT_CALL})


class Origin(str, Enum):
    """How a segment came to stand where it stands."""

    ORIGINAL = "original"
    GRAFTED = "grafted"
    """The call of a regenerated turn under the reasoning of an earlier attempt."""
    REPLACED = "replaced"
    """Part of a regenerated turn that replaced a failed turn as a whole."""
    APPENDED = "appended"
    """A regenerated turn that stands behind the failed turn and its error."""


@dataclass(frozen=True)
class Provenance:
    """Where the tokens of a segment come from.

    `position` is the assistant turn number, shared by all attempts at one call; `attempt` is 0 for the first.
    `context_hash` is the hash of all tokens that preceded the segment when it was *sampled*. `error_class` is
    set on the call of a kept turn that failed; `exhausted` marks a failed turn kept after its repair failed.
    """

    origin: Origin = Origin.ORIGINAL
    position: int | None = None
    attempt: int = 0
    context_hash: str | None = None
    policy: str | None = None
    similarity: float | None = None
    error_class: str | None = None
    exhausted: bool = False


@dataclass(frozen=True)
class Segment:
    """A run of tokens of one kind.

    Args:
        kind: what the tokens are.
        token_ids: at least one id, each in [0, 2**31).
        loss: True when the tokens are trained. Only sampled tokens may be, so it needs an assistant kind and
            a `provenance.context_hash`.
        logprobs: log pi_b of each token in the context it was sampled in (natural log), or None when the
            engine did not report them. Assistant kinds only.
        provenance: see `Provenance`.

    Raises:
        ValueError: when the fields contradict each other.
    """

    kind: SegmentKind
    token_ids: tuple[int, ...]
    loss: bool = False
    logprobs: tuple[float, ...] | None = None
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        object.__setattr__(self, "token_ids", tuple(self.token_ids))
        if self.logprobs is not None:
            object.__setattr__(self, "logprobs", tuple(self.logprobs))
        self._check_ids()
        self._check_logprobs()
        if self.loss and not self.sampled:
            raise ValueError(
                f"a {self.kind.value} segment without sampling context cannot be trained: loss needs an assistant "
                "kind and provenance.context_hash"
            )

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def is_assistant(self) -> bool:
        return self.kind in ASSISTANT_KINDS

    @property
    def sampled(self) -> bool:
        """True when the model sampled these tokens, in a context that is known by its hash."""
        return self.is_assistant and self.provenance.context_hash is not None

    def _check_ids(self) -> None:
        if not self.token_ids:
            raise ValueError(f"empty {self.kind.value} segment: leave it out of the list instead")
        if min(self.token_ids) < 0 or max(self.token_ids) >= 2**31:
            raise ValueError(f"token ids of a {self.kind.value} segment must lie in [0, 2**31)")

    def _check_logprobs(self) -> None:
        if self.logprobs is None:
            return
        if not self.is_assistant:
            raise ValueError(f"a {self.kind.value} segment is not sampled and cannot carry log-probs")
        if len(self.logprobs) != len(self.token_ids):
            raise ValueError(
                f"{len(self.logprobs)} log-probs for {len(self.token_ids)} tokens of a {self.kind.value} segment"
            )
        if not all(math.isfinite(value) for value in self.logprobs):
            raise ValueError(f"log-probs of a {self.kind.value} segment must be finite")


def context_segment(
    kind: SegmentKind, token_ids: Iterable[int], *, position: int | None = None, attempt: int = 0
) -> Segment:
    """A segment of tokens the model did not sample: prompt, tool message or template boundary."""
    return Segment(kind, tuple(token_ids), provenance=Provenance(position=position, attempt=attempt))


class TurnCount(NamedTuple):
    """Turns counted from the list itself, never by hand along the way (D16)."""

    assistant: int
    tool: int

    @property
    def total(self) -> int:
        """Assistant and tool turns plus the prompt, which counts as one."""
        return self.assistant + self.tool + 1


def count_turns(segments: Sequence[Segment]) -> TurnCount:
    """Count turns: an unbroken run of assistant (or tool) segments is one turn; boundaries break nothing.

    The messages that answer several calls of one turn count as one tool turn.
    """
    assistant = tool = 0
    previous = "prompt"
    for segment in segments:
        if segment.kind is SegmentKind.BOUNDARY:
            continue
        current = "assistant" if segment.is_assistant else segment.kind.value
        if current != previous:
            assistant += current == "assistant"
            tool += current == "tool"
        previous = current
    return TurnCount(assistant, tool)
