"""One line of `rollouts.jsonl`: how one rollout ended, in numbers, without its tokens."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1
Arm = Literal["off", "on"]
Key = tuple[str, str, int]
"""(sample_id, arm, rollout): what makes a rollout the same one in every start of a run."""


class Status(str, Enum):
    """How a rollout ended. All but GRADED count as not solved, and are shown apart."""

    GRADED = "graded"
    UNGRADED = "ungraded"
    """The grader could not judge the answer, for a reason that is not the model's."""
    INFRA = "infra"
    """A tool call failed in the service."""
    LOST = "lost"
    """The rollout itself failed: engine, endpoint or loop."""


class RolloutOutcome(BaseModel):
    """What is known of one rollout. `row` is its question's row in the data file(s), counted from 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = SCHEMA_VERSION
    row: int
    sample_id: str
    question_id: str = ""
    data_source: str = ""
    arm: Arm
    rollout: int
    status: Status
    score: float = 0.0
    acc: bool = False
    pred: str = ""
    error: str = ""
    answer: str = ""
    """What the model wrote after the last tool output, without special tokens; "" where it is not kept."""
    tries: int = 1
    """Starts of this rollout; more than one only after infrastructure failures."""
    turns: int = 0
    calls: int = 0
    """Tool calls that were run, those of discarded attempts included; calls spoiled by the service are not."""
    failed_calls: int = 0
    """Of these, the calls that failed by the model's fault."""
    kept_failures: int = 0
    """Failed calls that stand in the final trajectory."""
    infra_calls: int = 0
    rollbacks: int = 0
    """Positions at which a failed call was regenerated at least once."""
    recovered: int = 0
    generated_tokens: int = 0
    """All sampled tokens, discarded attempts included."""
    discarded_tokens: int = 0
    seconds: float = 0.0

    @property
    def key(self) -> Key:
        return self.sample_id, self.arm, self.rollout

    @property
    def graded(self) -> bool:
        return self.status is Status.GRADED
