"""Outcomes for tests."""

from __future__ import annotations

from typing import Any

from cleartrace.evaluate.outcome import RolloutOutcome, Status


def outcome(sample: str, rollout: int, acc: bool = False, arm: Any = "off", **more: Any) -> RolloutOutcome:
    """A graded rollout of `sample` that answered "right" or "wrong"."""
    values: dict[str, Any] = {
        "row": 0,
        "question_id": sample,
        "data_source": "math",
        "status": Status.GRADED,
        "pred": "right" if acc else "wrong",
        "score": 1.0 if acc else -1.0,
        "generated_tokens": 10,
    }
    return RolloutOutcome(sample_id=sample, rollout=rollout, acc=acc, arm=arm, **{**values, **more})
