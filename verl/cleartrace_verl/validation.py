"""Held-out metrics from validation records, one set per arm (rollback off and on)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PREFIX = {"off": "cleartrace/val", "on": "cleartrace/val_on"}


def arm_metrics(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Solve rate, first-call failures and token use per arm.

    `acc` counts every graded rollout; rollouts spoiled by infrastructure are counted in `masked`, not graded.
    `generated_tokens` includes discarded attempts, so the two arms can be compared at their true cost (D20).
    """
    metrics: dict[str, float] = {}
    for arm, prefix in PREFIX.items():
        mine = [row for row in rows if row["arm"] == arm]
        graded = [row for row in mine if not row["masked"]]
        if not graded:
            continue
        first = sum(row["counters"]["first_attempt_total"] for row in graded)
        good = sum(row["counters"]["first_attempt_success"] for row in graded)
        metrics |= {
            f"{prefix}/acc": sum(row["acc"] for row in graded) / len(graded),
            f"{prefix}/n": float(len(graded)),
            f"{prefix}/masked": float(len(mine) - len(graded)),
            f"{prefix}/tokens_per_trajectory": sum(row["generated_tokens"] for row in graded) / len(graded),
            f"{prefix}/failures_per_trajectory": (first - good) / len(graded),
        }
        if first:
            metrics[f"{prefix}/call_failure_rate"] = 1 - good / first
        metrics |= _first_call(graded, prefix)
    return metrics


def _first_call(rows: Sequence[dict[str, Any]], prefix: str) -> dict[str, float]:
    """Share of rollouts whose very first call failed, among those that made a call."""
    called = [row["tool_calls"][0] for row in rows if row["tool_calls"]]
    if not called:
        return {}
    failed = sum(call["status"] != "ok" for call in called)
    return {f"{prefix}/first_call_failure_rate": failed / len(called)}
