"""SAAR as a pure state machine: results in, a decision out, no loop and no input or output.

    start -> on_executed -> Keep | GiveUp       position closed
                         -> Regenerate -> on_regenerated -> GiveUp    position closed
                                                         -> Adopt     execute, then on_executed again
                                                         -> Score -> on_scored -> Adopt
                                                                               -> Append    position closed
    finish

Retries have their own counter and never a turn of their own (D6); state is a value, so nothing can be
forgotten on restore (D15) and K may be large (D14).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

from cleartrace.purify.coin import may_roll_back
from cleartrace.purify.config import CompareTo, MaskedPart, OnExhaustion, Policy, RetryContext, SaarConfig
from cleartrace.purify.counters import Effort, TrajectoryCounters, error_class
from cleartrace.purify.decision import (
    Adopt,
    AfterExecution,
    AfterRegeneration,
    AfterScore,
    Append,
    Attempt,
    GiveUp,
    GiveUpReason,
    Keep,
    Limits,
    Regenerate,
    Repair,
    RepairOutcome,
    Score,
)
from cleartrace.purify.gate import importance
from cleartrace.purify.splice import STRATEGIES, Splice, SpliceInput, SpliceKind, standing_splice
from cleartrace.purify.turn import Turn, as_next_turn, label_failure, with_origin
from cleartrace.tools.result import Blame, ToolResult
from cleartrace.trajectory.flatten import FlatTrajectory
from cleartrace.trajectory.segment import Origin, Segment


class Phase(str, Enum):
    """What the machine waits for."""

    EXECUTION = "execution"
    REGENERATION = "regeneration"
    SCORE = "score"


class ProtocolError(RuntimeError):
    """The caller reported an event the machine does not wait for."""


@dataclass(frozen=True)
class SaarState:
    """All SAAR knows about one trajectory. Make it with `start`, change it with the functions below."""

    config: SaarConfig
    counters: TrajectoryCounters
    active: bool
    """The rollback coin; false in the `off` arm and after an exhaustion with `on_exhaustion: trajectory`."""
    phase: Phase = Phase.EXECUTION
    attempts: tuple[Attempt, ...] = ()
    """Failed attempts at the open position, oldest first."""
    splices: tuple[Splice, ...] = ()
    """Splices made at the open position."""
    retries: int = 0
    """Regenerations made at the open position."""
    total_retries: int = 0
    streak: int = 0
    """Turns in a row, up to now, that stand in the trajectory with a failure of the model's."""
    candidate: tuple[Turn, Splice] | None = None
    """The regenerated turn that is being scored, and what it would be spliced to."""
    gate: float | None = None
    """Last importance at the open position."""
    repairs: tuple[Repair, ...] = ()
    evaluation: bool = False


def start(config: SaarConfig, *, sample_id: str, step: int, rollout: int, evaluation: bool = False) -> SaarState:
    """State of a new trajectory; draws the coin."""
    active = may_roll_back(config, sample_id, step, rollout, evaluation=evaluation)
    return SaarState(config, TrajectoryCounters(arm="on" if active else "off"), active, evaluation=evaluation)


def on_executed(
    state: SaarState, turn: Turn, results: Sequence[ToolResult], limits: Limits
) -> tuple[SaarState, AfterExecution]:
    """Report the results of all calls of `turn`, in call order, and learn what to do.

    `turn` is a sampled turn, or after `Adopt` the adopted one.

    Raises:
        ProtocolError: a regeneration is awaited, or there is no result.
    """
    results = tuple(results)
    if state.phase is not Phase.EXECUTION or not results:
        raise ProtocolError(f"on_executed with {len(results)} result(s) while waiting for {state.phase.value}")
    state = replace(state, counters=state.counters.count_results(results, retry=state.retries > 0))
    if any(r.blame not in (Blame.NOBODY, Blame.MODEL) for r in results):
        return _close(state, turn, results, RepairOutcome.LIMIT), Keep(turn, results, infra=True)
    failures = tuple(r for r in results if r.model_failed)
    if not failures:
        return _close(state, turn, results, RepairOutcome.RECOVERED), Keep(turn, results)
    state = replace(state, attempts=(*state.attempts, Attempt(turn, results)))
    obstacle = _obstacle(state, failures, limits)
    if obstacle != "not_eligible" and _stays(state):
        return _keep_by_policy(state)
    if obstacle is None:
        return _regenerate(state)
    if isinstance(obstacle, GiveUpReason):
        return _give_up(state, obstacle)
    return _keep_failure(state)


def on_regenerated(state: SaarState, new: Turn | None) -> tuple[SaarState, AfterRegeneration]:
    """Report the regenerated turn, or None when the engine returned no tokens, and learn what to do.

    Raises:
        ProtocolError: no regeneration is awaited, or `new` has another position or attempt than asked for.
    """
    if state.phase is not Phase.REGENERATION:
        raise ProtocolError(f"on_regenerated while waiting for {state.phase.value}")
    failed = state.attempts[-1].turn
    expected = (failed.position, len(state.attempts))
    if new is not None and (new.position, new.attempt) != expected:
        raise ProtocolError(
            f"regenerated turn is {(new.position, new.attempt)}, expected (position, attempt) {expected}"
        )
    state = replace(state, phase=Phase.EXECUTION)
    if new is None:
        return _give_up(state, GiveUpReason.ABORTED)
    if not new.has_call:
        return _give_up(state, GiveUpReason.NO_CALL, new)
    config = state.config
    reference = state.attempts[0].turn if config.compare_to is CompareTo.FIRST else failed
    gated = config.splices_by is Policy.IMPORTANCE
    strategy = STRATEGIES[config.gated_by if gated else config.splices_by]
    splice = strategy(SpliceInput(failed, reference, new), config)
    if gated:
        state = replace(state, phase=Phase.SCORE, candidate=(new, splice))
        return state, _question(failed, splice)
    return _adopt(state, new, splice)


def on_scored(state: SaarState, clean: Sequence[float] | None) -> tuple[SaarState, AfterScore]:
    """Report the log-probs of the candidate's tokens after the clean prefix, and learn what to do.

    Args:
        clean: one per token that `Score` named, or None when the engine gave none; the turn is appended then, as it
            is when the sampler reported no log-probs or a value is not a number.

    Raises:
        ProtocolError: no score is awaited.
        ValueError: not one log-prob per token.
    """
    if state.phase is not Phase.SCORE or state.candidate is None:
        raise ProtocolError(f"on_scored while waiting for {state.phase.value}")
    new, splice = state.candidate
    state = replace(state, counters=replace(state.counters, gated=state.counters.gated + 1))
    shown = _logprobs(_question(state.attempts[-1].turn, splice).candidate)
    value = None
    if clean is not None and shown is not None:
        value = importance(clean, shown, state.config)
        gates = state.counters.gates if math.isnan(value) else (*state.counters.gates, value)
        state = replace(state, gate=value, counters=replace(state.counters, gates=gates))
    state = replace(state, phase=Phase.EXECUTION, candidate=None)
    if value is not None and value >= state.config.gate_threshold:
        return _adopt(state, new, splice)
    return _append(state, new)


def finish(state: SaarState, segments: Sequence[Segment], flat: FlatTrajectory, effort: Effort) -> TrajectoryCounters:
    """Counters of the finished trajectory; arguments as in `TrajectoryCounters.count_tokens`.

    Raises:
        ProtocolError: a position is still open.
    """
    if state.attempts:
        raise ProtocolError(f"position {state.attempts[0].turn.position} is still open: report its last event first")
    counters = state.counters.count_tokens(segments, flat, effort)
    drop = state.config.drop_exhausted and not state.evaluation
    return replace(counters, dropped=drop and any(s.provenance.exhausted for s in segments))


def _question(failed: Turn, splice: Splice) -> Score:
    kept = failed.reasoning if splice.kind is SpliceKind.GRAFT else ()
    return Score(kept, splice.segments[len(kept) :])


def _logprobs(segments: Sequence[Segment]) -> tuple[float, ...] | None:
    if any(s.logprobs is None for s in segments):
        return None
    return tuple(value for s in segments for value in s.logprobs or ())


def _adopt(state: SaarState, new: Turn, splice: Splice) -> tuple[SaarState, Adopt]:
    compared = () if splice.similarity is None else (splice.similarity,)
    counters = replace(state.counters, similarities=state.counters.similarities + compared)
    state = replace(state, splices=(*state.splices, splice), counters=counters)
    return state, Adopt(replace(new, segments=splice.segments), splice)


def _append(state: SaarState, new: Turn) -> tuple[SaarState, Append]:
    """Close the position on its failure; the new turn, sampled behind it, opens the next one."""
    attempt = state.attempts[-1]
    turn = label_failure(attempt.turn, _classes(attempt)[0], mask=state.config.mask_failed)
    counters = replace(state.counters, appended=state.counters.appended + 1)
    closed = _close(replace(state, counters=counters), turn, attempt.results, RepairOutcome.APPENDED)
    return closed, Append(turn, attempt.results, as_next_turn(new, state.config.policy.value))


def _stays(state: SaarState) -> bool:
    """True when the policy lets this failure stand without a regeneration. Never after one at the same position."""
    config = state.config
    if config.policy is Policy.TOLERATE_FIRST:
        return not state.retries and state.streak < config.tolerate
    return config.policy is Policy.APPEND


def _keep_by_policy(state: SaarState) -> tuple[SaarState, Keep]:
    attempt = state.attempts[-1]
    turn = label_failure(attempt.turn, _classes(attempt)[0], mask=state.config.mask_failed)
    tolerated = state.config.policy is Policy.TOLERATE_FIRST
    counters = replace(
        state.counters,
        tolerated=state.counters.tolerated + tolerated,
        appended=state.counters.appended + (not tolerated),
    )
    closed = _close(replace(state, counters=counters), turn, attempt.results, RepairOutcome.LIMIT)
    return closed, Keep(turn, attempt.results)


def _obstacle(
    state: SaarState, failures: Sequence[ToolResult], limits: Limits
) -> GiveUpReason | Literal["not_eligible"] | None:
    """Why the newest failure is not retried, or None. A turn is retried while *every* failing class allows it."""
    retries = state.retries
    allowed = min(state.config.retries_for(error_class(r), r.status.value) for r in failures)
    spent = retries >= allowed or state.total_retries >= state.config.max_total_retries
    if not state.active or spent:
        return GiveUpReason.EXHAUSTED if retries else "not_eligible"
    if limits.last_turn:
        return GiveUpReason.LIMIT
    if limits.budget_tokens < state.config.min_budget_tokens:
        return GiveUpReason.BUDGET
    return None


def _regenerate(state: SaarState) -> tuple[SaarState, Regenerate]:
    attempts = state.attempts
    shown = attempts if state.config.retry_context is RetryContext.ALL else attempts[-1:]
    counters = replace(state.counters, triggered=state.counters.triggered + (state.retries == 0))
    state = replace(
        state,
        counters=counters,
        phase=Phase.REGENERATION,
        retries=state.retries + 1,
        total_retries=state.total_retries + 1,
    )
    return state, Regenerate(shown, attempts[0].turn.position, len(attempts))


def _keep_failure(state: SaarState) -> tuple[SaarState, Keep]:
    attempt = state.attempts[-1]
    turn = label_failure(attempt.turn, _classes(attempt)[0])
    return _close(state, turn, attempt.results, RepairOutcome.LIMIT), Keep(turn, attempt.results)


def _give_up(state: SaarState, reason: GiveUpReason, new: Turn | None = None) -> tuple[SaarState, GiveUp]:
    """Close the position on its newest failed attempt. Without any retry nothing was exhausted or masked."""
    config, attempt = state.config, state.attempts[-1]
    tried = state.retries > 0
    mask = config.exhausted_mask if tried else MaskedPart.NONE
    turn = label_failure(attempt.turn, _classes(attempt)[0], exhausted=tried, mask=mask)
    hint = None
    if reason is GiveUpReason.EXHAUSTED and state.retries >= config.hint_after:
        hint = config.hint(tuple("+".join(_classes(a)) for a in state.attempts))
    answer = None
    if new is not None:
        appended = with_origin(new.segments, Origin.APPENDED, policy=config.policy.value, similarity=None)
        answer = replace(new, segments=appended)
    closed = _close(state, turn, attempt.results, _OUTCOMES.get(reason, RepairOutcome.LIMIT))
    counters = replace(
        closed.counters,
        exhausted=closed.counters.exhausted + (reason is GiveUpReason.EXHAUSTED),
        skipped_budget=closed.counters.skipped_budget + (reason is GiveUpReason.BUDGET),
    )
    ends = reason in _OUTCOMES and config.on_exhaustion is OnExhaustion.TRAJECTORY
    closed = replace(closed, counters=counters, active=closed.active and not ends)
    return closed, GiveUp(reason, turn, attempt.results, hint, answer)


_OUTCOMES = {
    GiveUpReason.EXHAUSTED: RepairOutcome.EXHAUSTED,
    GiveUpReason.NO_CALL: RepairOutcome.NO_CALL,
}


def _classes(attempt: Attempt) -> tuple[str, ...]:
    """Error classes of a failed attempt, in call order."""
    return tuple(error_class(r) for r in attempt.results if r.model_failed)


def _close(state: SaarState, turn: Turn, results: Sequence[ToolResult], outcome: RepairOutcome) -> SaarState:
    """Close the open position with `turn` in the trajectory: count it, record its repair, forget its attempts."""
    counters = state.counters.count_kept_splice(standing_splice([s.kind for s in state.splices]))
    counters = replace(counters, kept_failures=counters.kept_failures + sum(r.model_failed for r in results))
    repairs = state.repairs
    if state.retries:
        recovered = outcome is RepairOutcome.RECOVERED
        counters = replace(
            counters,
            recovered=counters.recovered + recovered,
            failed=counters.failed + (outcome not in (RepairOutcome.RECOVERED, RepairOutcome.APPENDED)),
            solved_at=counters.solved_at + ((state.retries,) if recovered else ()),
        )
        value = state.splices[-1].similarity if state.splices else None
        kind = standing_splice([s.kind for s in state.splices])
        repairs = (*repairs, Repair(turn.position, outcome, kind, value, state.attempts, turn, state.gate))
    streak = state.streak + 1 if any(r.model_failed for r in results) else 0
    return replace(
        state, counters=counters, repairs=repairs, attempts=(), splices=(), retries=0, gate=None, streak=streak
    )
