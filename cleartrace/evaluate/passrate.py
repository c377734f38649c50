"""Statistics of a task file, one line per sample: how often a policy solves it (spec of the published file, D50).

Lines are known by `sample_id`, a hash of the sample's content; the row number is for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from cleartrace.evaluate.outcome import RolloutOutcome
from cleartrace.evaluate.questions import Question


def statistics_line(question: Question, rollouts: Sequence[RolloutOutcome]) -> dict[str, Any] | None:
    """The line of one sample, or None when none of its rollouts could be graded.

    `attempts` are the graded rollouts; what the service or the engine spoiled says nothing about the sample and is
    counted in `infra_errors`. `keep` is False for a sample that every attempt solved.
    """
    graded = [row for row in rollouts if row.graded]
    if not graded:
        return None
    successes = sum(row.acc for row in graded)
    return {
        "sample_id": question.sample_id,
        "row": question.row,
        "uid": question.uid,
        "data_source": question.data_source,
        "successes": successes,
        "attempts": len(graded),
        "success_rate": successes / len(graded),
        "avg_score": fmean(row.score for row in graded),
        "keep": successes < len(graded),
        "mean_tool_failures": fmean(row.failed_calls for row in graded),
        "infra_errors": len(rollouts) - len(graded),
    }


def by_sample(outcomes: Iterable[RolloutOutcome]) -> Mapping[str, list[RolloutOutcome]]:
    """Outcomes of each sample."""
    groups: dict[str, list[RolloutOutcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.sample_id, []).append(outcome)
    return groups
