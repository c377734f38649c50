"""From the package's test report to an outcome. A report is what `TestTracker.to_dict()` gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cleartrace.environments.protocol import EnvironmentFault
from cleartrace.episodes.types import Failure, FailureKind, Outcome

TRACE_CHARS = 600


def outcome(report: Mapping[str, Any], completed: bool) -> Outcome:
    """Score 1 when every test passes, else the share that does. Raises `EnvironmentFault` for no such report."""
    try:
        passes, failures = list(report["passes"]), list(report["failures"])
        total, success = int(report["num_tests"]), bool(report["success"])
    except (KeyError, TypeError, ValueError) as error:
        raise EnvironmentFault(f"appworld: its report is not one of tests: {error!r}") from None
    if total <= 0 or success != (len(passes) == total):
        raise EnvironmentFault(f"appworld: its report contradicts itself: {len(passes)} of {total} tests, {success=}")
    details = {
        "passes": len(passes),
        "num_tests": total,
        "difficulty": report.get("difficulty"),
        "completed": completed,
    }
    return Outcome(score=len(passes) / total, feedback=_feedback(passes, failures, total, completed), details=details)


def stuck(limit_s: float) -> Outcome:
    """Of an agent whose code outlived its limit and could not be stopped but with the world it ran in (R2)."""
    message = f"code ran for more than {limit_s:g} s and could not be interrupted"
    failure = Failure(kind=FailureKind.TIME_LIMIT, message=message)
    return Outcome(score=0.0, feedback=message, details={"completed": False}, failure=failure)


def _feedback(passes: Sequence[Any], failures: Sequence[Any], total: int, completed: bool) -> str:
    lines = [f"{len(passes)} of {total} tests passed."]
    if not completed:
        lines.append("The agent never called apis.supervisor.complete_task.")
    for test in failures:
        lines.append(f"Failed: {test['requirement']}")
        if trace := str(test.get("trace") or "").strip():
            lines.append(_shortened(trace))
    return "\n".join(lines)


def _shortened(text: str) -> str:
    return text if len(text) <= TRACE_CHARS else f"{text[:TRACE_CHARS]} ..."
