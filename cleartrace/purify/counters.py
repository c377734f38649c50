"""What one trajectory counts, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cleartrace.purify.splice import SpliceKind
from cleartrace.tools.result import ToolResult, ToolStatus
from cleartrace.trajectory.flatten import FlatTrajectory
from cleartrace.trajectory.segment import Segment


def error_class(result: ToolResult) -> str:
    """The class of a failure: the exception name, or the status when there is none."""
    return result.error_class or result.status.value


@dataclass(frozen=True)
class TrajectoryCounters:
    """Counters of one trajectory.

    Calls that failed in the infrastructure and surplus calls that were not run count neither as attempts nor
    as failures. `triggered = recovered + failed` once every position is closed.
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
    full_turn_splices: int = 0
    """Positions whose kept turn replaced the original one as a whole."""
    call_only_splices: int = 0
    """Positions whose kept turn has the original reasoning and a grafted call."""
    similarities: tuple[float, ...] = ()
    """Of every splice decision that compared two calls."""
    solved_at: tuple[int, ...] = ()
    """Attempt (1 = first regeneration) that recovered each recovered position."""
    generated_tokens: int = 0
    """All sampled tokens, those of discarded attempts included."""
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

    def count_tokens(
        self, segments: Sequence[Segment], flat: FlatTrajectory, generated_tokens: int
    ) -> TrajectoryCounters:
        """Fill in the token counts.

        Args:
            segments: the final, uncut segments.
            flat: their flattened form, cut to the response length.
            generated_tokens: tokens sampled by all requests of the rollout.
        """
        kept = sum(len(s) for s in segments if s.sampled)
        if kept > generated_tokens:
            raise ValueError(f"{kept} sampled tokens kept, but only {generated_tokens} were generated")
        total = sum(len(s) for s in segments)
        return replace(
            self,
            generated_tokens=generated_tokens,
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
