"""What one trajectory counts, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from cleartrace.purify.splice import SpliceKind
from cleartrace.tools.result import ToolResult, ToolStatus
from cleartrace.trajectory.flatten import FlatTrajectory
from cleartrace.trajectory.segment import Segment


def error_class(result: ToolResult) -> str:
    """The class of a failure: the exception name, or the status when there is none."""
    return result.error_class or result.status.value


@dataclass(frozen=True)
class Effort:
    """What one rollout cost, discarded attempts included. Seconds are wall time that this rollout waited.

    A retry is a regeneration and the calls of the turn it became; `decide_s` is what SAAR itself took: reading calls,
    decisions, splices and audit.
    """

    generated_tokens: int = 0
    """All sampled tokens, those of discarded attempts included."""
    retry_tokens: int = 0
    """Tokens sampled by regenerations, whether they were kept or not."""
    scored_tokens: int = 0
    """Tokens prefilled to score spliced ones."""
    generate_s: float = 0.0
    retry_generate_s: float = 0.0
    tool_s: float = 0.0
    retry_tool_s: float = 0.0
    score_s: float = 0.0
    decide_s: float = 0.0


@dataclass(frozen=True)
class TrajectoryCounters(Effort):
    """Counters of one trajectory.

    Calls that failed in the infrastructure and surplus calls that were not run count neither as attempts nor
    as failures. Once every position is closed, `triggered` is `recovered + failed` plus what `importance` appended.
    """

    arm: str = "off"
    """`on` when this rollout may roll back, else `off`."""
    first_attempts: int = 0
    first_successes: int = 0
    retry_attempts: int = 0
    """Executed calls of regenerated turns."""
    retry_successes: int = 0
    failures: tuple[tuple[str, int], ...] = ()
    """(error class, number of failed calls), retries included, sorted by class."""
    kept_failures: int = 0
    """Failed calls that stand in the final trajectory."""
    infra_errors: int = 0
    triggered: int = 0
    """Positions at which at least one regeneration was made."""
    recovered: int = 0
    failed: int = 0
    exhausted: int = 0
    skipped_budget: int = 0
    """Retries not made because too few tokens were left."""
    gated: int = 0
    """Regenerated turns that `importance` judged."""
    appended: int = 0
    """Failures that stand with what follows behind them, by the policies `append` and `importance`."""
    tolerated: int = 0
    """Failures that `tolerate_first` let stand."""
    dropped: bool = False
    """True when a repair failed and `drop_exhausted` takes the rollout out of training."""
    full_turn_splices: int = 0
    """Positions whose kept turn replaced the original one as a whole."""
    call_only_splices: int = 0
    """Positions whose kept turn has the original reasoning and a grafted call."""
    similarities: tuple[float, ...] = ()
    """Of every splice decision that compared two calls."""
    gates: tuple[float, ...] = ()
    """Importance of every candidate that was scored."""
    solved_at: tuple[int, ...] = ()
    """Attempt (1 = first regeneration) that recovered each recovered position."""
    discarded_tokens: int = 0
    trained_tokens: int = 0
    spliced_tokens: int = 0
    """Trained tokens that stand in another context than they were sampled in."""
    exhausted_tokens: int = 0
    cut_tokens: int = 0
    """Response tokens lost to the final cut."""

    @property
    def infra_failed(self) -> bool:
        """True when the trajectory must not be learned from."""
        return self.infra_errors > 0

    @property
    def failure_total(self) -> int:
        return sum(n for _, n in self.failures)

    def count_results(self, results: Sequence[ToolResult], *, retry: bool) -> TrajectoryCounters:
        """Count the executed calls of one turn."""
        successes = sum(r.ok for r in results)
        failed = [error_class(r) for r in results if r.model_failed]
        attempts = successes + len(failed)
        counted = replace(
            self,
            failures=tuple(sorted((Counter(dict(self.failures)) + Counter(failed)).items())),
            infra_errors=self.infra_errors + sum(r.status is ToolStatus.INFRA_ERROR for r in results),
        )
        if retry:
            return replace(
                counted,
                retry_attempts=self.retry_attempts + attempts,
                retry_successes=self.retry_successes + successes,
            )
        return replace(
            counted,
            first_attempts=self.first_attempts + attempts,
            first_successes=self.first_successes + successes,
        )

    def count_kept_splice(self, kind: SpliceKind | None) -> TrajectoryCounters:
        """Count the splice that stands at a closed position (`standing_splice`)."""
        if kind is None:
            return self
        if kind is SpliceKind.REPLACE:
            return replace(self, full_turn_splices=self.full_turn_splices + 1)
        return replace(self, call_only_splices=self.call_only_splices + 1)

    def count_tokens(self, segments: Sequence[Segment], flat: FlatTrajectory, effort: Effort) -> TrajectoryCounters:
        """Fill in what the tokens and the clock say.

        Args:
            segments: the final, uncut segments.
            flat: their flattened form, cut to the response length.
            effort: of all requests and calls of the rollout.
        """
        generated_tokens = effort.generated_tokens
        kept = sum(len(s) for s in segments if s.sampled)
        if kept > generated_tokens:
            raise ValueError(f"{kept} sampled tokens kept, but only {generated_tokens} were generated")
        total = sum(len(s) for s in segments)
        return replace(
            self,
            **asdict(effort),
            discarded_tokens=generated_tokens - kept,
            trained_tokens=sum(flat.response_mask),
            spliced_tokens=sum(m and s for m, s in zip(flat.response_mask, flat.spliced_mask, strict=True)),
            exhausted_tokens=sum(flat.exhausted_mask),
            cut_tokens=total - len(flat.prompt_ids) - len(flat.response_ids),
        )

    def upstream_fields(self) -> dict[str, float]:
        """Per-trajectory counters under the names the published dumps use."""
        return {
            "tool_call_total": self.first_attempts + self.retry_attempts,
            "tool_call_success": self.first_successes + self.retry_successes,
            "first_attempt_total": self.first_attempts,
            "first_attempt_success": self.first_successes,
            "global_rollback_triggered": self.triggered,
            "global_rollback_recovered": self.recovered,
            "global_rollback_failed": self.failed,
            "rollback_full_turn_count": self.full_turn_splices,
            "rollback_tool_call_only_count": self.call_only_splices,
        }

    def effort_fields(self) -> dict[str, float]:
        """What the retries of this trajectory cost, for its record: calls, tokens and seconds."""
        return {
            "retry_calls": self.retry_attempts,
            "retry_tokens": self.retry_tokens,
            "scored_tokens": self.scored_tokens,
            **{
                name: round(getattr(self, name), 4)
                for name in ("generate_s", "retry_generate_s", "tool_s", "retry_tool_s", "score_s", "decide_s")
            },
        }
