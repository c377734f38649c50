"""The row of `trajectories.jsonl`: everything one rollout was, readable without a tokenizer.

Written by the trainer once per step, read by the report.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SegmentRecord(_Row):
    """A run of tokens of one kind. `pieces[i]` is the text of token `token_ids[i]`."""

    kind: Literal["prompt", "assistant_reasoning", "assistant_call", "tool", "boundary"]
    token_ids: list[int]
    pieces: list[str]
    loss: bool
    origin: Literal["original", "grafted", "replaced", "appended"] = "original"
    position: int | None = None
    """Assistant turn number of a call; retries of one call share it."""
    attempt: int = 0
    logprobs: list[float] | None = None


class ToolCallRecord(_Row):
    """One execution, kept in the trajectory or discarded by a rollback."""

    position: int
    attempt: int
    code: str
    status: str
    error_class: str | None = None
    text: str
    """What the model was shown."""
    cost_s: float = 0.0
    kept: bool = True


class AttemptRecord(_Row):
    """A failed attempt that a rollback removed from the trajectory."""

    text: str
    code: str
    error_class: str | None
    error_text: str


class RepairRecord(_Row):
    """One position that was rolled back."""

    position: int
    outcome: Literal["recovered", "exhausted", "no_call", "appended", "limit"]
    splice: Literal["graft", "replace"] | None
    similarity: float | None
    gate: float | None = None
    """Importance of the last regeneration without the error, where the policy asked for it."""
    attempts: list[AttemptRecord]
    replacement: str
    """Text of the turn that stands in the trajectory now."""


class TrajectoryRecord(_Row):
    """One rollout."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run: str
    step: int
    split: Literal["train", "val"]
    arm: str
    """`off` without rollback, `on` with it."""
    sample_id: str
    rollout: int
    data_source: str
    question: str
    ground_truth: str
    prediction: str | None = None
    reward: float | None = None
    acc: bool | None = None
    masked: bool = False
    """True when an infrastructure failure took this rollout out of training."""
    dropped: bool = False
    """True when a failed repair did, with `drop_exhausted`."""
    num_turns: int
    segments: list[SegmentRecord]
    tool_calls: list[ToolCallRecord]
    repairs: list[RepairRecord]
    generated_tokens: int
    """All sampled tokens, discarded ones included."""
    discarded_tokens: int
    counters: dict[str, float] = Field(default_factory=dict)
