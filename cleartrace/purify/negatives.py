"""A failed call and the call that repaired it, as two token rows behind the same context (cleaner.md section 7.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.losses.options import FailedAttempt, NegativesConfig, Span
from cleartrace.purify.coin import draw
from cleartrace.purify.counters import error_class
from cleartrace.purify.decision import Repair, RepairOutcome
from cleartrace.purify.turn import Turn
from cleartrace.trajectory.flatten import FlatTrajectory, flatten, flatten_ids
from cleartrace.trajectory.segment import Segment


@dataclass(frozen=True)
class CallRow:
    """A trajectory that ends with a call: `flat` up to the end of its turn, the compared tokens at `span`.

    `span` is (start, end) in the response, end excluded, and end is the last token of the row.
    """

    flat: FlatTrajectory
    span: tuple[int, int]


@dataclass(frozen=True)
class Pair:
    """One repaired position. `good.span` is also the place of the good call in the rollout it was taken from."""

    position: int
    attempt: int
    error_class: str
    failed: CallRow
    good: CallRow


def collect(
    repairs: Sequence[Repair], segments: Sequence[Segment], config: NegativesConfig, *, response_length: int
) -> list[Pair]:
    """Pairs of a finished rollout, in order; only positions whose call works now have one.

    Left out are pairs that the response length would cut, and attempts whose tokens are those of the repair.

    Args:
        repairs: those of the SAAR machine.
        segments: the final, uncut segments.
    """
    pairs = (_pair(repair, segments, config) for repair in repairs if repair.outcome is RepairOutcome.RECOVERED)
    return [
        pair
        for pair in pairs
        if max(pair.failed.span[1], pair.good.span[1]) <= response_length
        and pair.failed.flat.response_ids != pair.good.flat.response_ids
    ]


def offered(
    pairs: Sequence[Pair], limit: int, *, seed: int, sample_id: str, step: int, rollout: int
) -> list[tuple[float, Pair]]:
    """The `limit` pairs with the lowest draws, with them: no more of one rollout can be used. The same on each run."""
    drawn = ((draw(seed, f"{sample_id}/negative/{pair.position}", step, rollout), pair) for pair in pairs)
    return sorted(drawn, key=lambda entry: entry[0])[:limit]


def _pair(repair: Repair, segments: Sequence[Segment], config: NegativesConfig) -> Pair:
    attempt = repair.attempts[0 if config.attempt is FailedAttempt.FIRST else -1]
    start = next(i for i, s in enumerate(segments) if s.is_assistant and s.provenance.position == repair.position)
    context = segments[:start]
    whole = config.span is Span.TURN and flatten_ids(attempt.turn.reasoning) != flatten_ids(repair.turn.reasoning)
    failure = next(result for result in attempt.results if result.model_failed)
    return Pair(
        position=repair.position,
        attempt=attempt.turn.attempt,
        error_class=error_class(failure),
        failed=_row(context, attempt.turn, whole),
        good=_row(context, repair.turn, whole),
    )


def _row(context: Sequence[Segment], turn: Turn, whole: bool) -> CallRow:
    flat = flatten([*context, *turn.segments])
    compared = turn.segments if whole or not turn.call else turn.call
    end = len(flat.response_ids)
    return CallRow(flat, (end - len(flatten_ids(compared)), end))
