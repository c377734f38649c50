"""Per-trajectory counters to the metrics of a step (cleaner.md section 6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, quantiles

import numpy as np

from cleartrace.purify.counters import TrajectoryCounters


def aggregate(counters: Sequence[TrajectoryCounters]) -> dict[str, float]:
    """Metrics of a batch under their published names, with corrected definitions (D26, D27).

    Rates without a denominator are left out rather than reported as 0. When both arms occur, every metric is
    repeated for each arm with the suffix `/on` or `/off`.
    """
    metrics = _tool_metrics(counters) | _rollback_metrics(counters)
    arms = sorted({c.arm for c in counters})
    if len(arms) > 1:
        for arm in arms:
            part = [c for c in counters if c.arm == arm]
            split = _tool_metrics(part) | _rollback_metrics(part)
            metrics |= {f"{name}/{arm}": value for name, value in split.items()}
    return metrics


def _tool_metrics(counters: Sequence[TrajectoryCounters]) -> dict[str, float]:
    if not counters:
        return {}
    first = sum(c.first_attempts for c in counters)
    retries = sum(c.retry_attempts for c in counters)
    calls: Counter[str] = Counter()
    trajectories: Counter[str] = Counter()
    for c in counters:
        calls.update(dict(c.failures))
        trajectories.update(name for name, _ in c.failures)
    return {
        "tool_calls/total_attempts": float(first),
        "tool_calls/retry_attempts": float(retries),
        "tool_calls/infra_errors": float(sum(c.infra_errors for c in counters)),
        "tool_calls/per_trajectory": first / len(counters),
        "tool_calls/failures_per_trajectory": fmean(c.failure_total for c in counters),
        "tool_calls/kept_failures_per_trajectory": fmean(c.kept_failures for c in counters),
        **_rate("tool_calls/success_rate", sum(c.first_successes for c in counters), first),
        **_rate("tool_calls/retry_success_rate", sum(c.retry_successes for c in counters), retries),
        **{f"tool_calls/failure_reason/{name}": float(n) for name, n in sorted(calls.items())},
        **{f"tool_calls/failure_traj/{name}": float(n) for name, n in sorted(trajectories.items())},
    }


def _rollback_metrics(counters: Sequence[TrajectoryCounters]) -> dict[str, float]:
    if not counters:
        return {}

    def total(name: str) -> float:
        return float(sum(getattr(c, name) for c in counters))

    solved = Counter(attempt for c in counters for attempt in c.solved_at)
    return {
        "rollback/global_triggered": total("triggered"),
        "rollback/global_recovered": total("recovered"),
        "rollback/global_failed": total("failed"),
        "rollback/rollback_full_turn_count": total("full_turn_splices"),
        "rollback/rollback_tool_call_only_count": total("call_only_splices"),
        "rollback/exhausted": total("exhausted"),
        "rollback/skipped_budget": total("skipped_budget"),
        "rollback/discarded_tokens": total("discarded_tokens"),
        "rollback/generated_tokens": total("generated_tokens"),
        "rollback/appended_count": total("appended"),
        "rollback/tolerated_count": total("tolerated"),
        "rollback/dropped_trajectories": total("dropped"),
        "rollback/retry_tokens": total("retry_tokens"),
        "rollback/scored_tokens": total("scored_tokens"),
        "rollback/exhausted_tokens": total("exhausted_tokens"),
        "rollback/cut_tokens": total("cut_tokens"),
        **_rate("rollback/global_recovery_rate", total("recovered"), total("triggered")),
        **_rate("rollback/discard_ratio", total("discarded_tokens"), total("generated_tokens")),
        **_rate("rollback/spliced_token_frac", total("spliced_tokens"), total("trained_tokens")),
        **_rate("rollback/planb_append_rate", total("appended"), total("gated")),
        **_distribution("rollback/similarity", [s for c in counters for s in c.similarities]),
        **_distribution("rollback/gate", [g for c in counters for g in c.gates]),
        **_times(counters),
        **{f"rollback/attempts_hist/{k}": float(n) for k, n in sorted(solved.items())},
    }


def _times(counters: Sequence[TrajectoryCounters]) -> dict[str, float]:
    """Mean seconds per rollout; shares are of the time of all rollouts.

    `rollback_share` counts retries, scores and SAAR itself, `decide_share` SAAR itself alone.
    """
    n = len(counters)
    retries = sum(c.retry_generate_s + c.retry_tool_s + c.score_s for c in counters)
    own = sum(c.decide_s for c in counters)
    whole = sum(c.generate_s + c.tool_s + c.score_s for c in counters) + own
    return {
        "timing/rollback_s": (retries + own) / n,
        "timing/tool_s": sum(c.tool_s for c in counters) / n,
        "timing/score_s": sum(c.score_s for c in counters) / n,
        **_rate("timing/rollback_share", retries + own, whole),
        **_rate("timing/decide_share", own, whole),
    }


def gap_metrics(
    old: Sequence[np.ndarray],
    sampled: Sequence[np.ndarray],
    spliced: Sequence[Sequence[int]],
    trained: Sequence[np.ndarray],
) -> dict[str, float]:
    """How far spliced tokens are off policy (D1): log-prob where they stand minus log-prob where they were sampled.

    `unspliced_gap` is the same for all other trained tokens, where it shows what trainer and engine differ by. Rows are
    rollouts, aligned from the first response token; longer rows are padded at the end.

    Args:
        old: log-probs under the policy before the update, in the trajectory as it is trained on.
        sampled: log-probs the sampler reported when it drew the token.
        spliced: 1 for tokens that stand in another context than they were sampled in.
        trained: 1 for tokens in the loss.
    """
    moved_gaps, other_gaps = [], []
    for o, s, moved, loss in zip(old, sampled, spliced, trained, strict=True):
        n = len(moved)
        gap, flags = np.asarray(o)[:n] - np.asarray(s)[:n], np.asarray(moved, dtype=bool)
        moved_gaps.append(gap[flags])
        other_gaps.append(gap[~flags & np.asarray(loss, dtype=bool)[:n]])
    others = np.concatenate(other_gaps) if other_gaps else np.empty(0)
    largest = {"rollback/unspliced_gap_abs_max": float(np.abs(others).max())} if len(others) else {}
    return _gap("rollback/gap", moved_gaps) | _gap("rollback/unspliced_gap", other_gaps) | largest


def engine_gap_metrics(gaps: Sequence[Sequence[float]], spliced: Sequence[Sequence[int]]) -> dict[str, float]:
    """The same gap by the rollout engine's own scores (`score_spliced`), so without what trainer and engine differ by.

    Args:
        gaps: per response token; an empty row was not scored.
        spliced: as in `gap_metrics`.
    """
    rows = [np.asarray(g)[np.asarray(m, dtype=bool)] for g, m in zip(gaps, spliced, strict=True) if len(g)]
    return _gap("rollback/engine_gap", rows)


def _gap(name: str, rows: Sequence[np.ndarray]) -> dict[str, float]:
    values = np.concatenate(rows) if rows else np.empty(0)
    if not len(values):
        return {}
    return {f"{name}_mean": float(values.mean()), f"{name}_abs_mean": float(np.abs(values).mean())}


def _rate(name: str, part: float, whole: float) -> dict[str, float]:
    return {name: part / whole} if whole else {}


def _distribution(name: str, values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    cuts = quantiles(values, n=10, method="inclusive") if len(values) > 1 else [values[0]]
    return {f"{name}_mean": fmean(values), f"{name}_p10": cuts[0], f"{name}_p90": cuts[-1]}
