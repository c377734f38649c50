"""The token-truth audit: does the trajectory consist of what the engine really saw and really sampled?

Rule 3 of the design: tokens are never re-tokenised to build training data. The audit takes the requests as
observed at the engine and compares them with the final segments, token by token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from cleartrace.trajectory.flatten import context_hash, flatten, flatten_ids
from cleartrace.trajectory.segment import Segment


class ViolationKind(str, Enum):
    """What is wrong."""

    PREFIX_BROKEN = "prefix_broken"
    """The next prompt does not begin with this prompt and action, and no rewrite says why."""
    NOT_SAMPLED = "not_sampled"
    """A trained segment was not sampled by any request in the context it claims."""
    LOGPROBS = "logprobs"
    """Log-probs are present on some sampled tokens only, or are not the sampler's."""
    STRUCTURE = "structure"
    """The segment list cannot be flattened."""


@dataclass(frozen=True)
class Violation:
    """One finding; `index` is that of a request or a segment, as the message says."""

    kind: ViolationKind
    message: str
    index: int


@dataclass(frozen=True)
class EngineRequest:
    """One generation as observed at the engine. `logprobs` are compared with those of the kept segments when given."""

    prompt_ids: tuple[int, ...]
    sampled_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Rewrite:
    """A splice record: after request `after`, history was rewritten to a list of `length` tokens.

    The next prompt (or the final list) must begin with exactly those tokens instead of prompt + action.
    """

    after: int
    length: int
    hash: str

    @classmethod
    def to(cls, after: int, segments: Sequence[Segment]) -> Rewrite:
        ids = flatten_ids(segments)
        return cls(after, len(ids), context_hash(ids))


class AuditError(RuntimeError):
    """The trajectory is not what the engine saw. `violations` lists every finding."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        lines = "\n".join(f"  {v.kind.value} [{v.index}]: {v.message}" for v in violations)
        super().__init__(f"token-truth audit failed with {len(violations)} violation(s):\n{lines}")


def audit(
    requests: Sequence[EngineRequest], segments: Sequence[Segment], rewrites: Sequence[Rewrite] = ()
) -> list[Violation]:
    """Compare what the engine saw with the final segments; an empty list means the trajectory is true.

    A sampled segment must be a prefix or a suffix of what one request sampled, as reasoning and call are.
    """
    return [
        *_check_structure(segments),
        *_check_prefixes(requests, flatten_ids(segments), rewrites),
        *_check_sampled(requests, segments),
    ]


def require_clean(violations: Sequence[Violation]) -> None:
    """Strict mode: raise `AuditError` when there is any violation."""
    if violations:
        raise AuditError(violations)


def _check_structure(segments: Sequence[Segment]) -> list[Violation]:
    present = {s.logprobs is not None for s in segments if s.is_assistant}
    if len(present) > 1:
        first = next(i for i, s in enumerate(segments) if s.is_assistant and s.logprobs is None)
        return [
            Violation(ViolationKind.LOGPROBS, f"assistant segment {first} lacks log-probs, others have them", first)
        ]
    try:
        flatten(segments)
    except ValueError as error:
        return [Violation(ViolationKind.STRUCTURE, str(error), 0)]
    return []


def _check_prefixes(
    requests: Sequence[EngineRequest], final_ids: tuple[int, ...], rewrites: Sequence[Rewrite]
) -> list[Violation]:
    rewritten = {r.after: r for r in rewrites}
    following = [*(r.prompt_ids for r in requests[1:]), final_ids]
    violations = []
    for i, (request, after) in enumerate(zip(requests, following, strict=True)):
        if (rewrite := rewritten.get(i)) is not None:
            kept = len(after) >= rewrite.length and context_hash(after[: rewrite.length]) == rewrite.hash
            what = "the rewritten list"
        else:
            expected = request.prompt_ids + request.sampled_ids
            kept, what = after[: len(expected)] == expected, "its prompt and action"
        if not kept:
            name = f"the prompt of request {i + 1}" if i + 1 < len(requests) else "the final list"
            violations.append(Violation(ViolationKind.PREFIX_BROKEN, f"{name} does not extend {what} ({i})", i))
    return violations


def _check_sampled(requests: Sequence[EngineRequest], segments: Sequence[Segment]) -> list[Violation]:
    violations = []
    for i, segment in enumerate(segments):
        if not segment.sampled:
            continue
        sources = list(_sources(requests, segment))
        if not sources:
            message = f"segment {i} ({segment.kind.value}) was not sampled by any request in the context it claims"
            violations.append(Violation(ViolationKind.NOT_SAMPLED, message, i))
        elif not any(logprobs is None or logprobs == segment.logprobs for logprobs in sources):
            message = f"log-probs of segment {i} are not those the engine reported"
            violations.append(Violation(ViolationKind.LOGPROBS, message, i))
    return violations


def _sources(requests: Sequence[EngineRequest], segment: Segment) -> Iterator[tuple[float, ...] | None]:
    """Log-probs (None: not observed) of each request that sampled the segment's tokens in its context.

    There may be several: two attempts at one turn can sample the same tokens, and batching makes their log-probs
    differ in the last bits.
    """
    n = len(segment)
    for request in requests:
        sampled = request.sampled_ids
        for start in {0, len(sampled) - n}:
            if start < 0 or sampled[start : start + n] != segment.token_ids:
                continue
            if context_hash(request.prompt_ids + sampled[:start]) == segment.provenance.context_hash:
                yield None if request.logprobs is None else request.logprobs[start : start + n]
